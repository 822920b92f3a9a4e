"""Told standard deviation beside true error, on patients that no training saw.

    python benchmarks/calibration.py --data DIR [--doses 0.25 0.1] [--planes 2] [--json FILE]

DIR holds the scans that `recipes/ct-denoise.toml` names. Each held-out slice u is a scan of usual
dose, to which the noise n of a lower dose is added, k = sqrt(1/d - 1) times its own noise r. The
network's f(u + n) is compared with u - r, which nobody knows. r and n are alike but for their
strength, and independent, so that over many pixels

    mean (f - (u - r))^2 = mean (f - u)^2 + (2 mean (f - u) n - mean n^2) / k^2,

where f takes noise in linearly. Pixels are grouped by what the eight views told. Prints a table
for each dose, and what belongs into the weights' registry: `uncertainty_scale` and
`uncertainty_floor`, of error^2 = floor^2 + (scale told)^2.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from held_out.cases import spread
from held_out.ct import lower_dose
from scipy.ndimage import uniform_filter
from scipy.optimize import nnls

from ratcli.network.registry import WeightsEntry, find_weights
from ratcli.restore import Restorer, RestoreSettings
from ratcli.scan import FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.material import CleanPlane
from ratcli.training.recipe import read_recipe

BODY_HU = -900.0
GROUPS = 10


@dataclass(frozen=True)
class Sample:
    """The pixels of one restored slice that lie in the body, `(N,)` each, in HU.

    Attributes:
        patient: whose.
        dose: fraction of the usual one.
        told: standard deviation that the views told.
        apart: restored minus usual dose.
        noise: what was added.
    """

    patient: str
    dose: float
    told: FloatArray
    apart: FloatArray
    noise: FloatArray


@dataclass(frozen=True)
class Row:
    """Pixels of like uncertainty: root mean squares in HU."""

    dose: float
    pixels: int
    told_hu: float
    error_hu: float
    apart_hu: float

    @property
    def ratio(self) -> float:
        """True error for each told standard deviation."""
        return self.error_hu / self.told_hu


def restored_sample(
    restorer: Restorer, entry: WeightsEntry, plane: CleanPlane, dose: float, seed: int
) -> Sample:
    """Restore a slice of lower dose in eight views; take an earlier calibration back."""
    pair = lower_dose(plane, dose, seed)
    block = restorer.restore_block(pair.low[None], np.zeros(pair.low.shape, bool))
    assert block.deviation is not None
    spread = np.sqrt(np.maximum(block.deviation[0] ** 2 - entry.uncertainty_floor**2, 0.0))
    told = (spread / entry.uncertainty_scale).astype(np.float32)
    body = (uniform_filter(pair.usual, 9) > BODY_HU) & (block.deviation[0] > 0)
    return Sample(
        pair.patient,
        dose,
        told[body],
        (block.values[0] - pair.usual)[body],
        (pair.low - pair.usual)[body],
    )


def row(dose: float, told: FloatArray, apart: FloatArray, noise: FloatArray) -> Row:
    """Return the figures of some pixels."""
    wide = [array.astype(np.float64) for array in (told, apart, noise)]
    told_square, apart_square, noise_square = (float((array**2).mean()) for array in wide)
    shared = float((wide[1] * wide[2]).mean())
    error_square = apart_square + (2 * shared - noise_square) / (1 / dose - 1)
    return Row(dose, told.size, told_square**0.5, max(error_square, 0.0) ** 0.5, apart_square**0.5)


def together(samples: Sequence[Sample]) -> Row:
    """Return the figures of all pixels of some slices of one dose."""
    parts = [np.concatenate([getattr(s, name) for s in samples]) for name in _ARRAYS]
    return row(samples[0].dose, *parts)


def groups(samples: Sequence[Sample]) -> list[Row]:
    """Return ten groups of as many pixels each, from low to high uncertainty."""
    told, apart, noise = (np.concatenate([getattr(s, n) for s in samples]) for n in _ARRAYS)
    order = np.array_split(np.argsort(told, kind="stable"), GROUPS)
    return [row(samples[0].dose, told[part], apart[part], noise[part]) for part in order]


_ARRAYS = ("told", "apart", "noise")


def show(samples: Sequence[Sample]) -> list[Row]:
    """Print one dose as a table, and the ratio of each patient."""
    rows = groups(samples)
    slices = f"{len(samples)} slices of {len({s.patient for s in samples})} held-out patients"
    print(f"\ndose {samples[0].dose:g}, {slices}; root mean squares in HU, pixels in the body")
    print(f"{'pixels':>9} {'told':>7} {'error':>7} {'error / told':>12} {'from usual dose':>15}")
    for one in [*rows, together(samples)]:
        print(
            f"{one.pixels:9d} {one.told_hu:7.2f} {one.error_hu:7.2f} {one.ratio:12.2f} "
            f"{one.apart_hu:15.2f}",
            flush=True,
        )
    ratios = ratios_of(samples)[f"{samples[0].dose:g}"]
    print("error / told of each patient:", " ".join(f"{ratio:.2f}" for ratio in ratios))
    return rows


def ratios_of(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Return true error for each told deviation by dose, one for each patient."""
    keys = dict.fromkeys((s.patient, s.dose) for s in samples)
    found: dict[str, list[float]] = {}
    for key in keys:
        ratio = together([s for s in samples if (s.patient, s.dose) == key]).ratio
        found.setdefault(f"{key[1]:g}", []).append(ratio)
    return found


def fit(rows: Sequence[Row]) -> tuple[float, float]:
    """Return factor and floor of error^2 = floor^2 + (factor told)^2; relative least squares."""
    told = np.array([one.told_hu for one in rows])
    error = np.array([one.error_hu for one in rows])
    terms = np.stack([told**2, np.ones_like(told)], axis=1) / error[:, None] ** 2
    squares, _ = nnls(terms, np.ones_like(told))
    return float(squares[0]) ** 0.5, float(squares[1]) ** 0.5


def show_fit(rows: Sequence[Row], factor: float, floor: float) -> None:
    """Print the calibrated deviation beside the true error."""
    print(f"\n{'dose':>5} {'predicted':>9} {'error':>7} {'error / predicted':>17}   in HU")
    for one in rows:
        predicted = float(np.hypot(floor, factor * one.told_hu))
        print(
            f"{one.dose:5g} {predicted:9.2f} {one.error_hu:7.2f} {one.error_hu / predicted:17.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ct-denoise.toml"))
    parser.add_argument("--weights", default="ct-denoise")
    parser.add_argument("--doses", type=float, nargs="+", default=[0.25, 0.1])
    parser.add_argument("--partition", default="superpixel")
    parser.add_argument("--planes", type=int, default=2, help="most slices of a patient")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    task = get_task(recipe.task)
    settings = RestoreSettings(
        task,
        arguments.partition,
        arguments.weights,
        device=arguments.device,
        threads=arguments.threads,
        views=8,
    )
    restorer = Restorer.load(settings)
    planes = spread(read_patients(arguments.data, recipe.held_out, task), arguments.planes)
    entry = find_weights(arguments.weights)
    samples, rows = [], []
    for dose in arguments.doses:
        of_dose = [
            restored_sample(restorer, entry, plane, dose, seed) for seed, plane in enumerate(planes)
        ]
        rows += show(of_dose)
        samples += of_dose
    factor, floor = fit(rows)
    show_fit(rows, factor, floor)
    print(f"\nuncertainty_scale = {factor:.3g}\nuncertainty_floor = {floor:.3g}")
    if arguments.json:
        facts = {
            "weights": arguments.weights,
            "weights_sha256": entry.sha256,
            "partition": arguments.partition,
            "slices": len(planes),
            "patients": len({plane.patient for plane in planes}),
            "uncertainty_scale": factor,
            "uncertainty_floor": floor,
            "error_over_told": ratios_of(samples),
            "groups": [asdict(one) for one in rows],
        }
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
