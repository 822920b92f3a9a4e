"""A CT network in difficult cases: hardly any noise, too much noise, and a real scanner's noise.

    python benchmarks/robustness.py --data DIR [--json benchmarks/results/robustness-ct.json]

1. Hardly any noise: procedural slices of new seeds with a known noise-free version. At full dose
   the PSNR of the result against that version must be at most 0.2 dB below that of the input. Below
   that noise, the table shows where the network begins to do harm.
2. Strong noise, twice the highest of the recipe: the result must be better than the input, against
   the noise-free version of procedural slices and against real held-out slices of usual dose.
3. Noise like that of real quarter-dose abdomen scans (Mayo, B30), on held-out abdomens: the figures
   of the simulated and of the real noise, and the gain.

PSNR over [-160, 240] HU and over [-1024, 3072] HU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from held_out.cases import Method, spread
from held_out.ct import FULL, SOFT, soft_tissue
from held_out.networks import facts, installed_weights, networks
from simulation import MAYO, figures

from ratcli.evaluation.fidelity import score
from ratcli.physics.anatomy.ct import REGIONS, ct_slice
from ratcli.physics.ct import blur_with_kernel, low_dose_noise
from ratcli.physics.ct_dose import MEDIUM_SMOOTH, CtDose
from ratcli.scan import FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.examples import TargetPlane
from ratcli.training.recipe import read_recipe
from research.bias import mean_bias

TOLERANCE_DB = 0.2
FAINT_HU = (1.0, 2.0, 3.0, 4.0, 6.0, 10.0)
# Thick slices of smooth kernels at full dose; thin ones have 10 to 25 HU.
FULL_DOSE_HU = 4.0
QUARTER_DOSE_HU = (22.0, 30.0, 37.0)
ABDOMENS = ("ct/crlm_ct_1004", "ct/singles/pancreas_0001_explicit_VR-UN.dcm")
# Training seeds its slices with the recipe's seed first, a date; never with this.
_SEED = 5
_SIZE = 384
_SPACING_MM = 1.0


@dataclass(frozen=True)
class Slice:
    """A slice, and whether it has noise of its own.

    Attributes:
        name: of the patient or of the procedural anatomy.
        hu: `(H, W)`.
        spacing_mm: pixel pitch.
        is_real: has noise of its own, so that only the missing noise is added.
    """

    name: str
    hu: FloatArray
    spacing_mm: float
    is_real: bool


@dataclass(frozen=True)
class Row:
    """Slices of one kind with one noise: means over slices, and the least gain among them."""

    slices: str
    count: int
    noise_hu: float
    input_soft_db: float
    restored_soft_db: float
    input_full_db: float
    restored_full_db: float
    least_gain_soft_db: float
    least_gain_full_db: float
    bias_hu: float

    @property
    def gain_db(self) -> tuple[float, float]:
        """Mean gain over the soft and the full window."""
        return (
            self.restored_soft_db - self.input_soft_db,
            self.restored_full_db - self.input_full_db,
        )


def procedural(count: int, seed: int = _SEED) -> list[Slice]:
    """Draw slices of every region through a medium smooth kernel, free of noise."""
    slices = []
    for number in range(count):
        region = REGIONS[number % len(REGIONS)]
        hu, _ = ct_slice(np.random.default_rng((seed, number)), _SIZE, _SPACING_MM, region)
        blurred = blur_with_kernel(torch.from_numpy(hu), _SPACING_MM, MEDIUM_SMOOTH).numpy()
        slices.append(Slice(region, blurred, _SPACING_MM, is_real=False))
    return slices


def real(planes: Sequence[TargetPlane]) -> list[Slice]:
    """Return slices of usual dose."""
    return [Slice(plane.patient, plane.values[0], plane.spacing_mm, True) for plane in planes]


def noise_of(one: Slice, noise_hu: float, seed: int) -> FloatArray:
    """Return noise of a standard deviation in soft tissue, `(H, W)` in HU."""
    dose = CtDose(original=1.0 if one.is_real else None, noise_hu=noise_hu)
    generator = torch.Generator().manual_seed(seed)
    return low_dose_noise(torch.from_numpy(one.hu), one.spacing_mm, dose, generator).numpy()


def measure(kind: str, slices: Sequence[Slice], noise_hu: float, network: Method) -> Row:
    """Restore slices with a noise, and compare with the slices before."""
    rows = []
    for seed, one in enumerate(slices):
        low = np.rint(one.hu + noise_of(one, noise_hu, seed))[None]
        restored, reference = network(low), one.hu[None]
        tissue = soft_tissue(one.hu)
        rows.append(
            [
                *(
                    score(plane, reference, window).psnr_db
                    for window in (SOFT, FULL)
                    for plane in (low, restored)
                ),
                mean_bias(restored[0], one.hu, tissue) if tissue.any() else np.nan,
            ]
        )
    table = np.array(rows)
    means = table.mean(axis=0)
    gains = (table[:, 1] - table[:, 0], table[:, 3] - table[:, 2])
    return Row(
        kind, len(slices), noise_hu, *map(float, means[:4]),
        *(float(gain.min()) for gain in gains), float(np.nanmean(table[:, 4])),
    )  # fmt: skip


def show(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    print(
        f"{'slices':28}{'noise HU':>9}{'soft: input':>12}{'restored':>9}{'gain':>7}{'least':>7}"
        f"{'full: input':>12}{'restored':>9}{'gain':>7}{'least':>7}{'bias HU':>9}"
    )
    for row in rows:
        soft, full = row.gain_db
        print(
            f"{f'{row.slices}, {row.count}':28}{row.noise_hu:9.0f}"
            f"{row.input_soft_db:12.2f}{row.restored_soft_db:9.2f}{soft:7.2f}"
            f"{row.least_gain_soft_db:7.2f}"
            f"{row.input_full_db:12.2f}{row.restored_full_db:9.2f}{full:7.2f}"
            f"{row.least_gain_full_db:7.2f}{row.bias_hu:9.2f}",
            flush=True,
        )


def noise_figures(slices: Sequence[Slice]) -> list[dict[str, object]]:
    """Measure the noise that stands for the real quarter dose, and print it beside the real."""
    rows = []
    for noise_hu in QUARTER_DOSE_HU:
        for seed, one in enumerate(slices):
            noise = noise_of(one, noise_hu, seed).astype(np.float64)
            found = figures(noise, one.hu, one.spacing_mm)
            rows.append({"slice": one.name, "noise_hu": noise_hu, **found})
    print(f"\n{'noise':22}{'real':>13}{'least':>9}{'mean':>9}{'most':>9}")
    for key, told in MAYO.items():
        values = np.array([float(row[key]) for row in rows])  # type: ignore[arg-type]
        spread_of = (np.nanmin(values), np.nanmean(values), np.nanmax(values))
        print(f"{key:22}{told:>13}" + "".join(f"{value:9.3f}" for value in spread_of))
    return rows


def examine(
    network: Method, drawn: Sequence[Slice], usual: Sequence[Slice], most_hu: float
) -> dict[str, object]:
    """Print the three tables; return what the JSON holds."""
    abdomens = [one for one in usual if one.name in ABDOMENS]
    identity = [measure("procedural", drawn, noise, network) for noise in FAINT_HU]
    show(
        f"1. little noise: from {FULL_DOSE_HU:g} HU gains must be at least -{TOLERANCE_DB}",
        identity,
    )
    kinds = {"procedural": drawn, "held-out, usual dose": usual}
    twice = [measure(kind, some, 2 * most_hu, network) for kind, some in kinds.items()]
    show(f"2. twice the noise trained ({most_hu:g} HU): gains must be positive", twice)
    told = noise_figures(abdomens)
    quarter = [measure("held-out abdomens", abdomens, noise, network) for noise in QUARTER_DOSE_HU]
    show("3. noise like the real quarter dose: gains must be positive", quarter)
    unharmed = {row.noise_hu: min(row.gain_db) >= -TOLERANCE_DB for row in identity}
    verdicts = {
        f"identity at full dose ({FULL_DOSE_HU:g} HU and more)": all(
            holds for noise, holds in unharmed.items() if noise >= FULL_DOSE_HU
        ),
        **{
            f"identity at {noise:g} HU": holds
            for noise, holds in unharmed.items()
            if noise < FULL_DOSE_HU
        },
        "twice the noise": all(min(row.gain_db) > 0 for row in twice),
        "quarter dose": all(min(row.gain_db) > 0 for row in quarter),
    }
    for what, holds in verdicts.items():
        print(f"{what}: {'holds' if holds else 'FAILS'}")
    return {
        "verdicts": verdicts,
        "identity": [asdict(row) for row in identity],
        "twice": [asdict(row) for row in twice],
        "quarter_dose_noise": told,
        "quarter_dose": [asdict(row) for row in quarter],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ct-denoise.toml"))
    parser.add_argument("--weights", default="ct-denoise")
    parser.add_argument("--partition", default=get_task("ct-denoise").partition)
    parser.add_argument("--procedural", type=int, default=5, help="procedural slices")
    parser.add_argument("--planes", type=int, default=1, help="most real slices of a patient")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    weights = installed_weights("ct-denoise", [arguments.weights])
    planes = read_patients(arguments.data, recipe.held_out, get_task("ct-denoise"))
    usual, drawn = real(spread(planes, arguments.planes)), procedural(arguments.procedural)
    for name, network in networks(weights, [arguments.partition], arguments.threads):
        print(f"{name}; means over slices and the least gain; PSNR dB over {SOFT} and {FULL}")
        result = examine(network, drawn, usual, recipe.noise_hu[1])
        if arguments.json:
            told = {**facts(weights, arguments.threads), "partition": arguments.partition}
            text = json.dumps({**told, **result}, indent=1, default=float)
            arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
