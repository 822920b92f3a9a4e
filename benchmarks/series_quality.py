"""What neighbouring slices give: CT series restored with them and slice by slice.

    python benchmarks/series_quality.py --data ../shared/data [--weights ct-denoise] [--slices 3]

Noise of a lower dose is added to contiguous series of held-out patients. The added noise of
neighbouring slices correlates as the noise of the series itself does. The error to the noise-free
slice is estimated as in `quality.py`. "3-D Gaussian" has the width that is best on these slices,
so that it is favoured. "end" restores a slice with one neighbour only.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from held_out.cases import by_patient
from held_out.ct import SOFT, Pair, Truth
from held_out.networks import installed_weights
from scipy.ndimage import gaussian_filter

from ratcli.evaluation.baselines import plane_noise
from ratcli.network.neighbours import Neighbour, Neighbours
from ratcli.network.settings import EngineSettings
from ratcli.physics.ct import low_dose_noise
from ratcli.physics.ct_dose import CtDose
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model
from ratcli.scan import FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.examples import TargetPlane
from ratcli.training.own_noise import find_flat_patches
from ratcli.training.recipe import read_recipe
from research.bias import mean_bias

DOSES = {"1/4": 0.25, "1/10": 0.1}
LEAST_SLICES = 10


@dataclass(frozen=True)
class Case:
    """A slice of lower dose with its neighbours, and what its truth is estimated from."""

    series: str
    low: FloatArray
    neighbours: tuple[Neighbour, ...]
    usual: FloatArray
    truth: Truth


def cases(planes: Sequence[TargetPlane], dose: float, most: int) -> Iterator[Case]:
    """Lower the dose of some slices of a series that have both neighbours."""
    inner = [plane for plane in planes if len(plane.neighbours) == 2 and all(plane.neighbours)]
    for number in np.linspace(0, len(inner) - 1, min(most, len(inner))).round().astype(int):
        plane, seed = inner[number], int(number)
        usual, patches = plane.values[0], find_flat_patches(plane.values[0])
        if patches is None:
            continue
        level = plane_noise(usual, SOFT) * (1 / dose - 1) ** 0.5
        settings = CtDose(fraction=dose, original=1.0, noise_hu=level, modulation=0.6)
        generator = torch.Generator().manual_seed(seed)
        three = torch.from_numpy(plane.values).expand(3, -1, -1)
        noise, *others = low_dose_noise(three, plane.spacing_mm, settings, generator).numpy()
        beside = []
        for each, other in zip(plane.neighbours, others, strict=True):
            share = float(np.clip(patches.correlation(usual, each.values[0]), 0, 0.9))
            mixed = share * noise + (1 - share**2) ** 0.5 * other
            beside.append(replace(each, values=np.rint(each.values + mixed).astype(np.float32)))
        low = np.rint(usual + noise).astype(np.float32)
        name = f"{Path(plane.patient).name}, {plane.neighbours[0].gap_mm:.3g} mm"
        truth = Truth.of(Pair(plane.patient, low, usual, noise), dose)
        yield Case(name, low, tuple(beside), usual, truth)


def gaussian(case: Case, sigma_px: float, weight: float) -> FloatArray:
    """Return a smoothed slice, to which both neighbours contribute with a weight."""
    total = case.low + weight * sum(each.values[0] for each in case.neighbours)
    smooth: FloatArray = gaussian_filter(total / (1 + 2 * weight), sigma_px)
    return smooth


def best_gaussian(found: Sequence[Case]) -> list[FloatArray]:
    """Return the slices by the Gaussian that is best on all of them."""
    tried = [
        [gaussian(case, sigma, weight) for case in found]
        for sigma in (0.5, 0.7, 0.9, 1.2, 1.6)
        for weight in (0.0, 0.3, 0.6, 1.0)
    ]
    return min(
        tried,
        key=lambda made: sum(
            case.truth.figures(case.low, out)["truth_hu"] ** 2
            for case, out in zip(found, made, strict=True)
        ),
    )


def by_model(model: Model, case: Case, neighbours: Neighbours) -> FloatArray:
    hidden = np.zeros(case.low.shape, bool)
    return model.restore([case.low[None]], [hidden], None, [neighbours])[0].values[0]


def show(name: str, found: Sequence[Case], made: Sequence[FloatArray]) -> None:
    """Print means over slices, the error as a root of the mean square."""
    rows = [
        case.truth.figures(case.low, out) | {"bias": mean_bias(out, case.usual, case.truth.tissue)}
        for case, out in zip(found, made, strict=True)
    ]
    error = np.mean([row["truth_hu"] ** 2 for row in rows]) ** 0.5
    left = np.mean([row.get("left", np.nan) for row in rows])
    bias = np.mean([row["bias"] for row in rows])
    print(f"  {name:40}{error:8.2f} HU {left:7.2f} left {bias:7.2f} HU bias", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ct-denoise.toml"))
    parser.add_argument("--weights", nargs="*", default=["ct-denoise"])
    parser.add_argument("--slices", type=int, default=3, help="of each series")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    task = get_task("ct-denoise")
    planes = read_patients(arguments.data, read_recipe(arguments.recipe).held_out, task)
    series = by_patient(planes)
    engine = EngineSettings(device="cpu", threads=arguments.threads)
    models = {
        entry.name: Model.load(RestoreSettings(task=task, weights=(entry.name,), engine=engine))
        for entry in installed_weights(task.name, arguments.weights)
    }
    for name, dose in DOSES.items():
        for own in series.values():
            found = list(cases(own, dose, arguments.slices)) if len(own) >= LEAST_SLICES else []
            if not found:
                continue
            print(f"dose {name}, {found[0].series}: {len(found)} slices")
            show("input", found, [case.low for case in found])
            show("3-D Gaussian, the best", found, best_gaussian(found))
            for title, model in models.items():
                for how, count in (("series", 2), ("end", 1), ("alone", 0)):
                    made = [by_model(model, case, case.neighbours[:count]) for case in found]
                    show(f"{title}, {how}", found, made)


if __name__ == "__main__":
    main()
