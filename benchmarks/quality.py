"""Quality on patients that no training saw: the network against tuned classical methods.

    python benchmarks/quality.py --data DIR [--doses 0.25 0.1] [--partitions superpixel none]

DIR holds the scans that `recipes/ct-denoise.toml` names. Each held-out slice is a scan of usual
dose; the noise that a lower dose would add is simulated in the projections, `sqrt(1/d - 1)` times
the slice's own noise level. Classical methods are tuned on training patients at the same dose.
Prints a table a dose, means over patients, and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from ratcli.degrade.ct import CtDose, low_dose_noise
from ratcli.evaluation.baselines import installed, plane_noise, tune
from ratcli.evaluation.fidelity import WINDOWS, mean_bias, score, summarise
from ratcli.restore import Restorer, RestoreSettings
from ratcli.scan import FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.material import CleanPlane
from ratcli.training.recipe import Recipe, read_recipe

SOFT = WINDOWS["ct-soft"]
FULL = WINDOWS["ct-full"]
TISSUE_HU = (0.0, 120.0)
CROP = 200
Method = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Pair:
    """A slice at a lower dose beside the usual one, `(H, W)` in HU."""

    patient: str
    low: FloatArray
    usual: FloatArray


@dataclass(frozen=True)
class Row:
    """One method at one dose: means over patients, 95 % interval of the PSNR."""

    method: str
    dose: float
    psnr_soft_db: float
    psnr_low_db: float
    psnr_high_db: float
    ssim_soft: float
    rmse_soft_hu: float
    psnr_full_db: float
    bias_hu: float
    worst_bias_hu: float
    seconds: float


def lower_dose(plane: CleanPlane, dose: float, seed: int) -> Pair:
    """Add the noise that a slice would have at a fraction of its dose."""
    usual = plane.values[0]
    own = plane_noise(usual, SOFT)
    added = own * (1 / dose - 1) ** 0.5
    settings = CtDose(fraction=dose, original=1.0, noise_hu=added)
    generator = torch.Generator().manual_seed(seed)
    noise = low_dose_noise(torch.from_numpy(usual), plane.spacing_mm, settings, generator)
    return Pair(plane.patient, np.rint(usual + noise.numpy()).astype(np.float32), usual)


def spread(planes: Sequence[CleanPlane], most: int) -> list[CleanPlane]:
    """Take at most so many slices of each patient, evenly."""
    chosen = []
    for patient in dict.fromkeys(plane.patient for plane in planes):
        own = [plane for plane in planes if plane.patient == patient]
        picks = np.unique(np.linspace(0, len(own) - 1, min(most, len(own))).round().astype(int))
        chosen += [own[pick] for pick in picks]
    return chosen


def middle(values: FloatArray) -> FloatArray:
    """Cut the middle out of a slice, for tuning."""
    top, left = ((side - CROP) // 2 for side in values.shape)
    return values[top : top + CROP, left : left + CROP]


def network(weights: str, partition: str, threads: int) -> Method:
    """Return the network as a method."""
    task = get_task("ct-denoise")
    restorer = Restorer.load(
        RestoreSettings(task, partition, weights, device="cpu", threads=threads)
    )

    def run(plane: FloatArray) -> FloatArray:
        hidden = np.zeros(plane.shape, bool)
        return restorer.restore_block(plane[None], hidden).values[0]

    return run


def judge(name: str, method: Method, pairs: Sequence[Pair], dose: float) -> Row:
    """Run a method over held-out slices and average its figures over patients."""
    figures: dict[str, list[list[float]]] = {}
    began = time.perf_counter()
    outputs = [method(pair.low) for pair in pairs]
    seconds = (time.perf_counter() - began) / len(pairs)
    for pair, output in zip(pairs, outputs, strict=True):
        soft, full = score(output, pair.usual, SOFT), score(output, pair.usual, FULL)
        tissue = (pair.usual > TISSUE_HU[0]) & (pair.usual < TISSUE_HU[1])
        # Where both are averaged over the same pixels, choosing them by the noisy reference
        # shifts its mean; its neighbours tell the tissue without that.
        bias = mean_bias(output, pair.usual, smooth_mask(tissue))
        figures.setdefault(pair.patient, []).append(
            [soft.psnr_db, soft.ssim, soft.rmse, full.psnr_db, bias]
        )
    means = np.array([np.mean(rows, axis=0) for rows in figures.values()])
    psnr = summarise(list(means[:, 0]))
    average = means.mean(0)
    return Row(
        name, dose, psnr.mean, psnr.low, psnr.high, *map(float, average[1:]),
        float(np.abs(means[:, 4]).max()), seconds,
    )  # fmt: skip


def smooth_mask(tissue: np.ndarray) -> np.ndarray:
    """Return pixels whose surroundings are nearly all tissue."""
    return uniform_filter(tissue.astype(np.float32), 9) > 0.8


def compare(recipe: Recipe, arguments: argparse.Namespace) -> list[Row]:
    """Return a row for each dose and method."""
    task = get_task(recipe.task)
    held_out = spread(read_patients(arguments.data, recipe.held_out, task), arguments.planes)
    tuning = spread(read_patients(arguments.data, recipe.train, task), 1)
    networks = {
        f"rat, regions by {name}": network(arguments.weights, name, arguments.threads)
        for name in arguments.partitions
    }
    rows = []
    for dose in arguments.doses:
        pairs = [lower_dose(plane, dose, seed) for seed, plane in enumerate(held_out)]
        rows.append(judge("input", lambda plane: plane, pairs, dose))
        crops = [lower_dose(plane, dose, 1000 + seed) for seed, plane in enumerate(tuning)]
        tuned_on = [(middle(pair.low), middle(pair.usual)) for pair in crops]
        for name in (name for name in arguments.baselines if installed(name)):
            baseline = tune(name, tuned_on, SOFT)
            print(f"tuned {name}: {dict(baseline.settings)}", flush=True)
            rows.append(judge(name, baseline, pairs, dose))
        for name, method in networks.items():
            rows.append(judge(name, method, pairs, dose))
        show([row for row in rows if row.dose == dose], len(pairs))
    return rows


def show(rows: Sequence[Row], planes: int) -> None:
    """Print one dose as a table."""
    patients = "means over held-out patients, each counted once"
    print(f"\ndose {rows[0].dose:g}, {planes} slices, {patients}; soft {SOFT}, full {FULL}")
    print(
        f"{'method':30} {'PSNR soft':>9} {'95 % interval':>15} {'SSIM':>6} {'RMSE HU':>8} "
        f"{'PSNR full':>9} {'bias HU':>8} {'worst':>6} {'s/slice':>8}"
    )
    for row in rows:
        interval = f"{row.psnr_low_db:.2f} to {row.psnr_high_db:.2f}"
        print(
            f"{row.method:30} {row.psnr_soft_db:9.2f} {interval:>15} {row.ssim_soft:6.4f} "
            f"{row.rmse_soft_hu:8.2f} {row.psnr_full_db:9.2f} {row.bias_hu:8.2f} "
            f"{row.worst_bias_hu:6.2f} {row.seconds:8.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ct-denoise.toml"))
    parser.add_argument("--weights", default="ct-denoise")
    parser.add_argument("--doses", type=float, nargs="+", default=[0.25, 0.1])
    parser.add_argument("--partitions", nargs="*", default=["superpixel", "none"])
    parser.add_argument(
        "--baselines", nargs="*", default=["gaussian", "nl-means", "total-variation", "bm3d"]
    )
    parser.add_argument("--planes", type=int, default=3, help="most slices of a patient")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = compare(read_recipe(arguments.recipe), arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
