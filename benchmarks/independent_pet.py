"""PET judged by a simulation that shares no code with the one of the training.

    python benchmarks/independent_pet.py --data ../shared/data [--weights pet-synthesis]

Planes of known uptake (a brain, the NEMA image quality phantom, procedural trunks with planted
spheres) are projected by rotating the image, with attenuation, detector blur, scatter and randoms;
counts are Poisson, and OSEM without resolution recovery reconstructs them. The truth is what the
same reconstruction makes of the expected counts. Gaussian and total variation get the strength that
is best on these very planes, so that they are favoured. Prints means over planes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from held_out.networks import installed_weights, networks
from scipy.ndimage import gaussian_filter, label, maximum_filter, rotate, zoom
from skimage.restoration import denoise_tv_chambolle

from ratcli.physics.anatomy.pet import pet_slice
from ratcli.scan import FloatArray

SIDE = 128
ANGLES = 120
SUBSETS = 10
ITERATIONS = 3
TISSUE_PER_MM = 0.0096
FILTER_MM = 4.0
BLUR_MM = 5.0
FRACTIONS = (1 / 4, 1 / 12)
Filter = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Plane:
    """True uptake `(N, N)` in SUV, its pixel pitch, and the prompts of a full scan."""

    group: str
    suv: FloatArray
    spacing_mm: float
    prompts: float


@dataclass(frozen=True)
class Case:
    """A noisy plane beside the truth, `(N, N)` in SUV."""

    group: str
    noisy: FloatArray
    truth: FloatArray


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
            cut = volume[:, :, int(at * volume.shape[2])]
            found.append(Plane(name.split("_")[0], padded(cut), 2.0, prompts))
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


def best(cases: list[Case], make: Callable[[float], Filter], strengths: FloatArray) -> Filter:
    """Return the filter of the strength that is best on the cases."""
    scores = [
        np.mean([figures(make(s)(c.noisy), c.truth)["psnr"] for c in cases]) for s in strengths
    ]
    chosen = float(strengths[int(np.argmax(scores))])
    print(f"  strength {chosen:.3g}")
    return make(chosen)


def gaussian(sigma_px: float) -> Filter:
    return lambda plane: gaussian_filter(plane, sigma_px)


def variation(weight: float) -> Filter:
    """Total variation of the square root, whose noise is nearly the same everywhere."""
    return lambda plane: denoise_tv_chambolle(np.sqrt(np.maximum(plane, 0)), weight) ** 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    entries = installed_weights("pet-synthesis", arguments.weights)
    methods = dict(networks(entries, ["superpixel"], arguments.threads))
    rng = np.random.default_rng(7)
    scanners = [(plane, Scanner(plane)) for plane in planes(arguments.data)]
    truths = [scanner.reconstruct(scanner.expected) for _, scanner in scanners]
    for fraction in FRACTIONS:
        cases = [
            Case(plane.group, scanner.noisy(fraction, rng), truth)
            for (plane, scanner), truth in zip(scanners, truths, strict=True)
        ]
        filters: dict[str, Filter] = {
            "input": lambda plane: plane,
            "gaussian": best(cases, gaussian, np.geomspace(0.4, 4, 15)),
            "total variation": best(cases, variation, np.geomspace(0.02, 1, 15)),
        }
        for name, method in methods.items():
            filters[name] = lambda plane, method=method: method(plane[None])[0]
        print(f"counts 1/{1 / fraction:g}: PSNR dB, variation %, mean %, hot %")
        for group in (*dict.fromkeys(case.group for case in cases), "all"):
            for name, method in filters.items():
                rows = [
                    figures(method(case.noisy), case.truth)
                    for case in cases
                    if group in (case.group, "all")
                ]
                means = [float(np.nanmean([row[key] for row in rows])) for key in rows[0]]
                print(f"  {group:8}{name:44}" + "".join(f"{value:9.2f}" for value in means))


if __name__ == "__main__":
    main()
