"""Small structures in CT: what a network invents from noise, and what it keeps.

    python benchmarks/small_structures.py --data ../shared/data [--weights ct-denoise] [--draws 4]

Slices of held-out patients get the noise of a lower dose several times. What differs between the
results is made of noise alone, since the anatomy is the same. Invented are blobs of 2 to 8 mm in
this difference, in soft tissue; counted are those that stand out from their surroundings by at
least 10 and 20 HU, for each 100 square centimetres. "Gaussian" smooths so far that it leaves as
much noise as the first network, so that only the kind of the noise left differs.

Kept is the contrast of discs of 20 HU that are planted in soft tissue: the slice is restored with
and without them, with the same noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from held_out.cases import Method, by_patient
from held_out.ct import CONDITIONS, SOFT, soft_tissue
from held_out.networks import installed_weights, networks
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_laplace, maximum_filter
from scipy.optimize import brentq

from ratcli.evaluation.baselines import plane_noise
from ratcli.evaluation.given_regions import Disc
from ratcli.physics.ct import low_dose_noise
from ratcli.physics.ct_dose import CtDose
from ratcli.scan import BoolArray, FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.examples import TargetPlane
from ratcli.training.recipe import read_recipe

BLOBS_MM = (2.0, 3.0, 4.0, 6.0, 8.0)
FAINTEST_HU = (10.0, 20.0)
DISCS_MM = (3.0, 5.0, 10.0)
DISC_HU = 20.0
MODULATION = 0.6
# The scale-normalised Laplacian of a Gaussian of sigma s shows this at the middle of a disc of
# height 1 and of radius s times the root of 2, to which it responds most.
_PEAK = 2 / np.e
_APART_MM = 12.0


def blobs(difference: FloatArray, tissue: BoolArray, spacing_mm: float) -> dict[float, float]:
    """Return the number of blobs for each 100 cm2 of tissue, by their least contrast."""
    stack = np.stack(
        [
            np.abs(gaussian_laplace(difference, sigma) * sigma**2 / _PEAK)
            for sigma in (mm / 2 / 2**0.5 / spacing_mm for mm in BLOBS_MM)
        ]
    )
    peaks = (maximum_filter(stack, 3) == stack) & tissue
    area = tissue.sum() * (spacing_mm / 100) ** 2
    return {least: float((peaks & (stack >= least)).sum() / area) for least in FAINTEST_HU}


def planted_discs(plane: TargetPlane, tissue: BoolArray) -> list[tuple[float, FloatArray]]:
    """Return the diameter in mm and the coverage of discs that lie apart in soft tissue."""
    free, found = tissue.copy(), []
    while len(found) < 8 * len(DISCS_MM):
        depth = distance_transform_edt(free)
        if depth.max() * plane.spacing_mm < _APART_MM / 2:
            break
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        diameter = DISCS_MM[len(found) % len(DISCS_MM)]
        coverage = Disc(float(row), float(column), diameter / 2 / plane.spacing_mm).coverage(
            free.shape
        )
        found.append((diameter, coverage))
        free &= Disc(float(row), float(column), _APART_MM / plane.spacing_mm).coverage(
            free.shape
        ) == 0  # fmt: skip
    return found


@dataclass(frozen=True)
class Study:
    """A slice at a lower dose, drawn several times.

    Attributes:
        plane: the slice.
        tissue: `(H, W)`, true in soft tissue.
        noises: independent draws `(H, W)` of the noise that the lower dose adds.
        discs: diameter in mm and coverage of what is planted.
    """

    plane: TargetPlane
    tissue: BoolArray
    noises: list[FloatArray]
    discs: list[tuple[float, FloatArray]]

    @classmethod
    def of(cls, plane: TargetPlane, dose: float, draws: int) -> Study:
        """Draw the noise, and choose places for the discs."""
        tissue = soft_tissue(plane.values[0])
        level = plane_noise(plane.values[0], SOFT) * (1 / dose - 1) ** 0.5
        settings = CtDose(fraction=dose, original=1.0, noise_hu=level, modulation=MODULATION)
        generator = torch.Generator().manual_seed(7)
        planes = torch.from_numpy(plane.values).expand(draws, -1, -1)
        noises = low_dose_noise(planes, plane.spacing_mm, settings, generator).numpy()
        return cls(plane, tissue, list(noises), planted_discs(plane, tissue))


def differences(made: Sequence[FloatArray]) -> FloatArray:
    """Return what differs from the mean, as large as the noise of one: `(draws, H, W)`."""
    stack = np.stack(made)
    changes: FloatArray = (stack - stack.mean(0)) * np.float32((len(made) / (len(made) - 1)) ** 0.5)
    return changes


def measured(method: Method, study: Study) -> dict[str, float]:
    """Return the figures of a method on one slice."""
    usual, first = study.plane.values, study.noises[0]
    results = [method(usual + noise)[0] for noise in study.noises]
    changes = differences(results)
    counts = [blobs(change, study.tissue, study.plane.spacing_mm) for change in changes]
    row = {"noise": float(changes[:, study.tissue].std())}
    row |= {f"{least:g} HU": float(np.mean([c[least] for c in counts])) for least in FAINTEST_HU}
    planted = np.float32(DISC_HU) * sum((cover for _, cover in study.discs), np.zeros_like(first))
    shown = method(usual + first + planted)[0] - results[0]
    for diameter in DISCS_MM:
        own = [float(shown[cover > 0.5].mean()) for mm, cover in study.discs if mm == diameter]
        row[f"{diameter:g} mm"] = float(np.mean(own)) / DISC_HU if own else np.nan
    return row


def gaussian_with(noise_hu: float, study: Study) -> Method:
    """Return a Gaussian filter that leaves so much noise."""

    def excess(sigma: float) -> float:
        smooth = differences([gaussian_filter(noise, sigma) for noise in study.noises])
        return float(smooth[:, study.tissue].std()) - noise_hu

    sigma = brentq(excess, 0.2, 20.0, xtol=0.01)
    return lambda values: gaussian_filter(values, (0, sigma, sigma))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ct-denoise.toml"))
    parser.add_argument("--weights", nargs="*", default=["ct-denoise"])
    parser.add_argument("--patients", type=int, default=100, help="most patients")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    task = get_task("ct-denoise")
    planes = read_patients(arguments.data, read_recipe(arguments.recipe).held_out, task)
    middles = [own[len(own) // 2] for own in by_patient(planes).values()]
    chosen = [each for each in middles if soft_tissue(each.values[0]).mean() > 0.02]
    entries = installed_weights(task.name, arguments.weights)
    methods = list(networks(entries, (task.partition,), arguments.threads))
    for name, dose in CONDITIONS.items():
        rows: dict[str, list[dict[str, float]]] = {}
        for plane in chosen[: arguments.patients]:
            study = Study.of(plane, dose, arguments.draws)
            for title, method in methods:
                rows.setdefault(title, []).append(measured(method, study))
            linear = gaussian_with(rows[methods[0][0]][-1]["noise"], study)
            rows.setdefault("Gaussian", []).append(measured(linear, study))
        print(f"{name}: {len(chosen[: arguments.patients])} patients")
        for title, own in rows.items():
            means = {key: np.nanmean([row[key] for row in own]) for key in own[0]}
            print(f"  {title:34}" + "".join(f"{key:>9} {means[key]:6.2f}" for key in means))


if __name__ == "__main__":
    main()
