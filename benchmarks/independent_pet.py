"""PET judged by a simulation that shares no code with the one of the training.

    python benchmarks/independent_pet.py --data ../shared/data [--weights pet-synthesis]

Planes of known uptake (a brain, the NEMA image quality phantom, procedural trunks with planted
spheres) are projected by rotating the image, with attenuation, detector blur, scatter and randoms;
counts are Poisson, and OSEM without resolution recovery reconstructs them. The truth is what the
same reconstruction makes of the expected counts. Gaussian and total variation get the strength that
is best on these very planes, so that they are favoured. Planes of the brain and of the phantom have
neighbours with independent noise: the 3-D Gaussian and "series" use them. Prints means over planes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from held_out.networks import installed_weights
from scipy.ndimage import gaussian_filter, label, maximum_filter, rotate, zoom
from skimage.restoration import denoise_tv_chambolle

from ratcli.network.neighbours import Neighbour
from ratcli.network.settings import EngineSettings
from ratcli.physics.anatomy.pet import pet_slice
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model
from ratcli.scan import FloatArray
from ratcli.tasks import get_task

SIDE = 128
ANGLES = 120
SUBSETS = 10
ITERATIONS = 3
TISSUE_PER_MM = 0.0096
FILTER_MM = 4.0
BLUR_MM = 5.0
FRACTIONS = (1 / 4, 1 / 12)
Filter = Callable[["Case"], FloatArray]


@dataclass(frozen=True)
class Plane:
    """True uptake `(N, N)` in SUV, its pixel pitch, the prompts of a full scan, and neighbours."""

    group: str
    suv: FloatArray
    spacing_mm: float
    prompts: float
    beside: tuple[FloatArray, ...] = ()


@dataclass(frozen=True)
class Case:
    """A noisy plane beside the truth, `(N, N)` in SUV, and its noisy neighbours."""

    group: str
    noisy: FloatArray
    truth: FloatArray
    beside: tuple[FloatArray, ...]


def project(image: FloatArray, angle: float) -> FloatArray:
    """Return the line integrals of an image at an angle in degrees, in pixels."""
    return rotate(image, angle, reshape=False, order=1).sum(0)


def smear(profile: FloatArray, angle: float) -> FloatArray:
    """Return the back-projection of a profile."""
    whole = np.broadcast_to(profile, (len(profile), len(profile)))
    return rotate(np.ascontiguousarray(whole), -angle, reshape=False, order=1)


class Scanner:
    """Projects a plane and reconstructs counts."""

    def __init__(self, plane: Plane) -> None:
        self.angles = np.arange(ANGLES) * 180.0 / ANGLES
        body = gaussian_filter(plane.suv, 2) > 0.03 * plane.suv.max()
        mu = body.astype(np.float32) * TISSUE_PER_MM * plane.spacing_mm
        self.survival = np.exp(-np.stack([project(mu, angle) for angle in self.angles]))
        blur_px = BLUR_MM / plane.spacing_mm / 2.355
        trues = np.stack([project(gaussian_filter(plane.suv, blur_px), a) for a in self.angles])
        trues *= self.survival
        scatter = 0.4 * gaussian_filter(trues, (0, 60 / plane.spacing_mm))
        randoms = np.full_like(trues, 0.2 * (trues + scatter).mean())
        self.background = scatter + randoms
        self.expected = trues + self.background
        self.calibration = plane.prompts / self.expected.sum()
        self.filter_px = FILTER_MM / plane.spacing_mm / 2.355
        self.inside = gaussian_filter(body.astype(np.float32), 3) > 0.02

    def noisy(self, fraction: float, rng: np.random.Generator) -> FloatArray:
        scale = self.calibration * fraction
        return self.reconstruct(rng.poisson(self.expected * scale) / scale)

    def reconstruct(self, counts: FloatArray) -> FloatArray:
        """Return the image of counts `(views, bins)`, by OSEM and a Gaussian."""
        image = self.inside.astype(np.float64)
        for subset in [*range(SUBSETS)] * ITERATIONS:
            numerator, sensitivity = np.zeros((2, SIDE, SIDE))
            for view in range(subset, ANGLES, SUBSETS):
                angle, survival = self.angles[view], self.survival[view]
                model = project(image, angle) * survival + self.background[view]
                ratio = counts[view] / np.maximum(model, 1e-9)
                numerator += smear(survival * ratio, angle)
                sensitivity += smear(survival, angle)
            image *= np.where(self.inside, numerator / np.maximum(sensitivity, 1e-6), 0)
        return gaussian_filter(image, self.filter_px).astype(np.float32)


def planes(data: Path) -> list[Plane]:
    """Return planes of a brain, of a phantom, and of trunks."""
    found = []
    truth = data / "pet_more" / "truth"
    for name, prompts, share in (
        ("brain_fdg_truth_2mm", 4e5, (0.35, 0.45, 0.55, 0.65, 0.75)),
        ("nema_iec_truth_2mm", 3e5, (0.4, 0.5, 0.51)),
    ):
        volume = np.asarray(nibabel.load(truth / f"{name}.nii.gz").dataobj, np.float32)
        for at in share:
            middle = int(at * volume.shape[2])
            before, cut, after = (padded(volume[:, :, middle + step]) for step in (-1, 0, 1))
            found.append(Plane(name.split("_")[0], cut, 2.0, prompts, (before, after)))
    for seed in range(8):
        rng = np.random.default_rng((2026, seed))
        region = ("chest", "abdomen", "abdomen", "pelvis")[seed % 4]
        suv = pet_slice(rng, SIDE, 4.0, region).suv
        found.append(Plane("trunk", with_spheres(rng, suv), 4.0, 3e5))
    return found


def padded(plane: FloatArray) -> FloatArray:
    """Return a plane on the square grid, made coarser if it does not fit."""
    if max(plane.shape) > SIDE - 8:
        plane = zoom(plane, (SIDE - 8) / max(plane.shape), order=1)
    edges = [((SIDE - n) // 2, SIDE - n - (SIDE - n) // 2) for n in plane.shape]
    return np.pad(plane, edges)


def with_spheres(rng: np.random.Generator, suv: FloatArray) -> FloatArray:
    """Plant discs of 6 to 16 mm with 2 to 8 times the uptake around them."""
    planted = suv.copy()
    inside = np.argwhere(gaussian_filter(suv, 2) > 0.4)
    rows, columns = np.indices(suv.shape)
    for row, column in inside[rng.integers(len(inside), size=5)]:
        radius = rng.uniform(0.8, 2.0)
        disc = np.hypot(rows - row, columns - column)
        share = np.clip(radius - disc + 0.5, 0, 1)
        planted += share * (rng.uniform(2, 8) - 1) * suv[row, column]
    return planted.astype(np.float32)


def figures(output: FloatArray, truth: FloatArray) -> dict[str, float]:
    """PSNR over the truth's maximum, background variation, and the recovery of hot spots."""
    difference = (output - truth).astype(np.float64)
    warm = truth > 0.1 * truth.max()
    flat = warm & (np.hypot(*np.gradient(gaussian_filter(truth, 1))) < 0.02 * truth.max())
    peaks = (truth == maximum_filter(truth, 7)) & (truth > 0.5 * truth.max())
    spots, count = label(peaks)
    hot = [output[spots == n].max() / truth[spots == n].max() for n in range(1, count + 1)]
    return {
        "psnr": -10 * np.log10((difference**2).mean() / truth.max() ** 2),
        "variation": 100 * float((difference[flat] / truth[flat]).std()) if flat.any() else np.nan,
        "mean": 100 * float(output[warm].sum() / truth[warm].sum() - 1),
        "hot": 100 * (float(np.mean(hot)) - 1),
    }


def best(cases: list[Case], make: Callable[[Any], Filter], strengths: Sequence[Any]) -> Filter:
    """Return the filter of the strength that is best on the cases."""
    scores = [np.mean([figures(make(s)(c), c.truth)["psnr"] for c in cases]) for s in strengths]
    chosen = strengths[int(np.argmax(scores))]
    print(f"  strength {chosen}")
    return make(chosen)


def gaussian(sigma_px: float) -> Filter:
    return lambda case: gaussian_filter(case.noisy, sigma_px)


def gaussian_3d(how: tuple[float, float]) -> Filter:
    """Smooth a plane to which its neighbours contribute with a weight."""
    sigma_px, weight = how

    def run(case: Case) -> FloatArray:
        total = case.noisy + weight * sum(case.beside, np.zeros_like(case.noisy))
        return gaussian_filter(total / (1 + weight * len(case.beside)), sigma_px)

    return run


def restored(model: Model, case: Case, *, in_series: bool) -> FloatArray:
    near = [Neighbour(each[None], 2.0) for each in case.beside] if in_series else []
    hidden = np.zeros(case.noisy.shape, bool)
    return model.restore([case.noisy[None]], [hidden], None, [near])[0].values[0]


def variation(weight: float) -> Filter:
    """Total variation of the square root, whose noise is nearly the same everywhere."""
    return lambda case: denoise_tv_chambolle(np.sqrt(np.maximum(case.noisy, 0)), weight) ** 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    entries = installed_weights("pet-synthesis", arguments.weights)
    engine = EngineSettings(device="cpu", threads=arguments.threads, precision="fp32")
    task = get_task("pet-synthesis")
    models = {
        entry.name: Model.load(RestoreSettings(task=task, weights=(entry.name,), engine=engine))
        for entry in entries
    }
    rng = np.random.default_rng(7)
    scanners = [(plane, Scanner(plane)) for plane in planes(arguments.data)]
    near = [
        [Scanner(replace(plane, suv=suv, beside=())) for suv in plane.beside]
        for plane, _ in scanners
    ]
    truths = [scanner.reconstruct(scanner.expected) for _, scanner in scanners]
    for fraction in FRACTIONS:
        cases = [
            Case(
                plane.group,
                scanner.noisy(fraction, rng),
                truth,
                tuple(each.noisy(fraction, rng) for each in others),
            )
            for (plane, scanner), truth, others in zip(scanners, truths, near, strict=True)
        ]
        filters: dict[str, Filter] = {
            "input": lambda case: case.noisy,
            "gaussian": best(cases, gaussian, np.geomspace(0.4, 4, 15).tolist()),
            "total variation": best(cases, variation, np.geomspace(0.02, 1, 15).tolist()),
        }
        sides = product(np.geomspace(0.4, 4, 12).tolist(), (0.3, 0.6, 1.0))
        in_series = [case for case in cases if case.beside]
        filters["3-D gaussian"] = best(in_series, gaussian_3d, list(sides))
        for name, model in models.items():
            filters[name] = partial(restored, model, in_series=False)
            filters[f"{name}, series"] = partial(restored, model, in_series=True)
        print(f"counts 1/{1 / fraction:g}: PSNR dB, variation %, mean %, hot %")
        for group in (*dict.fromkeys(case.group for case in cases), "all"):
            for name, method in filters.items():
                rows = [
                    figures(method(case), case.truth)
                    for case in cases
                    if group in (case.group, "all")
                ]
                means = [float(np.nanmean([row[key] for row in rows])) for key in rows[0]]
                print(f"  {group:8}{name:44}" + "".join(f"{value:9.2f}" for value in means))


if __name__ == "__main__":
    main()
