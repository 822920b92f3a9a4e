"""PET: adds the noise of fewer counts to a plane of full counts.

Fewer prompts are drawn in the sinogram and reconstructed by OSEM; only the missing noise is added.
The plane of full counts is the reference, which is noisy, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from held_out.cases import Case, Column, Method, tuned
from ratcli.evaluation.fidelity import score
from ratcli.evaluation.window import WINDOWS
from ratcli.partition import get_partitioner
from ratcli.physics.anatomy.pet import pet_slice
from ratcli.physics.local_noise import noise_map
from ratcli.physics.pet import expected_image, low_count_noise
from ratcli.physics.pet_acquisition import PetCounts
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.tasks import get_task
from ratcli.training.examples import TargetPlane

FULL = WINDOWS["pet-full"]
TISSUE = WINDOWS["pet-tissue"]
WARM = WINDOWS["pet-warm"]
PROMPTS = 2e6
# A plane of a trunk has about this uptake. A limb has less, but hides less of it.
_TRUNK_SUV_MM2 = 50_000.0
_LEAST_SHARE = 0.1
# Scans cut out around a lesion are mirrored to about a thigh: what lies beyond attenuates too.
_LEAST_SIDE = 68
_LEAST_SUV = WARM.low
_LOCAL_PX = 5
_LEAST_PIXELS = 40
# Procedural planes: like the real ones in counts; training seeds them with a date, never with this.
_SEED = 5
_DRAWN = ("abdomen", "chest", "pelvis", "limbs") * 2
_DRAWN_SIZE = 128
_DRAWN_SPACING_MM = 4.3
_DRAWN_PROMPTS = 2e5
# Fraction of the counts, and what the full scan's are: of its own noise, usual, or drawn.
CONDITIONS = {
    "counts 1/12": (1 / 12, "own"),
    "counts 1/4": (0.25, "own"),
    "counts 1/12 of 2e6": (1 / 12, "usual"),
    "counts 1/4 of 2e6": (0.25, "usual"),
    "procedural, counts 1/12": (1 / 12, "drawn"),
    "procedural, counts 1/4": (0.25, "drawn"),
}
ABOUT = {
    "psnr": f"over {FULL}; tissue over {TISSUE}",
    "ssim": f"over {TISSUE}",
    "mean_bias": "region's SUVmean over the reference's, less 1, in %; mean over regions of "
    f"at least {_LEAST_SUV} SUV; regions by superpixel of the reference",
    "mean_error": "its absolute value, mean over regions",
    "total_bias": "uptake of the whole plane, the same way",
    "max_bias": "SUVmax of the plane's hottest region over the reference's, less 1, in %; the "
    "reference's own noise raises its SUVmax",
    "classical": f"tuned over {WARM}",
    "counts": "of a full scan: as many as explain the scan's own noise in warm tissue, the median "
    f"of a patient's planes; or {PROMPTS:g} for a plane of a trunk, fewer for limbs",
    "procedural": f"{len(_DRAWN)} planes of {_DRAWN_PROMPTS:g} prompts, each as a patient; the "
    "reference is free of noise, and regions are the structures: a real plane's own noise biases "
    "what is measured against it",
}


def fewer_counts(plane: TargetPlane, prompts: float, fraction: float, seed: int) -> FloatArray:
    """Return `(1, H, W)` in SUV: the plane with a fraction of its counts."""
    values = plane.values
    counts = PetCounts(counts=prompts, fraction=fraction, original=1.0)
    noise = _noise(plane, counts, seed)
    return np.maximum(values + noise[None], np.minimum(values, 0))


def usual_prompts(plane: TargetPlane) -> float:
    """Return prompts of a plane by its uptake."""
    share = float(_mirrored(plane).sum()) * plane.spacing_mm**2 / _TRUNK_SUV_MM2
    return PROMPTS * min(1.0, max(_LEAST_SHARE, share)) ** 0.5


def own_prompts(planes: Sequence[TargetPlane]) -> float:
    """Return the prompts that explain a scan's own noise, the median of its planes."""
    found = []
    for plane in planes:
        warm = uniform_filter(plane.values[0], _LOCAL_PX) > _LEAST_SUV
        if warm.sum() < _LEAST_SIDE:
            continue
        usual = usual_prompts(plane)
        simulated = _noise(plane, PetCounts(counts=usual, fraction=1.0), seed=0)
        told, own = (
            float(np.percentile(noise_map(values, _LOCAL_PX)[warm], 25))
            for values in (simulated, plane.values[0])
        )
        found.append(usual * (told / own) ** 2)
    return float(np.median(found)) if found else PROMPTS


def _noise(plane: TargetPlane, counts: PetCounts, seed: int) -> FloatArray:
    """Return noise `(H, W)` in SUV."""
    height, width = plane.values.shape[1:]
    whole = torch.from_numpy(_mirrored(plane))
    generator = torch.Generator().manual_seed(seed)
    return low_count_noise(whole, plane.spacing_mm, counts, generator).numpy()[:height, :width]


def _mirrored(plane: TargetPlane) -> FloatArray:
    edges = [(0, max(0, _LEAST_SIDE - side)) for side in plane.values.shape[1:]]
    return np.pad(plane.values[0], edges, mode="symmetric")


class PetJudge:
    """PET at fractions of the counts."""

    task = "pet-synthesis"
    conditions = CONDITIONS
    columns = (
        Column("psnr_db", "PSNR 0-20", ".2f"),
        Column("psnr_tissue_db", "PSNR 0-5", ".2f"),
        Column("ssim_tissue", "SSIM 0-5", ".4f"),
        Column("rmse_suv", "RMSE SUV", ".3f"),
        Column("mean_bias", "SUVmean %", ".2f"),
        Column("mean_bias", "worst", ".2f", worst=True),
        Column("mean_error", "|SUVmean| %", ".2f"),
        Column("total_bias", "total %", ".2f"),
        Column("max_bias", "SUVmax %", ".1f"),
    )
    about = ABOUT

    def cases(self, planes: Sequence[TargetPlane], condition: str, first_seed: int) -> list[Case]:
        """Thin the counts of planes."""
        fraction, kind = self.conditions[condition]
        if kind == "drawn":
            return [drawn(first_seed + n, region, fraction) for n, region in enumerate(_DRAWN)]
        of_patient = {
            patient: own_prompts([plane for plane in planes if plane.patient == patient])
            for patient in dict.fromkeys(plane.patient for plane in planes)
            if kind == "own"
        }
        cases = []
        for number, plane in enumerate(planes):
            prompts = of_patient.get(plane.patient) or usual_prompts(plane)
            low = fewer_counts(plane, prompts, fraction, first_seed + number)
            labels = reference_regions(plane.values)
            cases.append(Case(plane.patient, low, plane.values, plane.spacing_mm, labels))
        return cases

    def classical(
        self, training: Sequence[TargetPlane], condition: str, names: Sequence[str]
    ) -> Iterator[tuple[str, Method]]:
        """Tune on training planes."""
        cases = self.cases(training, condition, 1000)
        yield from tuned([(case.low, case.reference) for case in cases], WARM, names)

    def measure(self, case: Case, output: FloatArray, method: Method) -> dict[str, float]:
        """Return fidelity and the bias of uptake in regions."""
        full, tissue = (score(output, case.reference, window) for window in (FULL, TISSUE))
        assert case.labels is not None
        return {
            "psnr_db": full.psnr_db,
            "psnr_tissue_db": tissue.psnr_db,
            "ssim_tissue": tissue.ssim,
            "rmse_suv": full.rmse,
            **uptake_bias(output[0], case.reference[0], case.labels),
        }


def drawn(seed: int, region: str, fraction: float) -> Case:
    """Draw a procedural plane whose truth is known, and count it briefly."""
    rng = np.random.default_rng((_SEED, seed))
    plane = pet_slice(rng, _DRAWN_SIZE, _DRAWN_SPACING_MM, region)
    suv, attenuation = (torch.from_numpy(part) for part in (plane.suv, plane.attenuation_per_mm))
    counts = PetCounts(counts=_DRAWN_PROMPTS, fraction=fraction)
    clean = expected_image(suv, _DRAWN_SPACING_MM, counts, attenuation)
    generator = torch.Generator().manual_seed(seed)
    noise = low_count_noise(suv, _DRAWN_SPACING_MM, counts, generator, attenuation)
    low = (clean + noise).clamp_min(0).numpy()[None]
    return Case(f"drawn {seed}", low, clean.numpy()[None], _DRAWN_SPACING_MM, plane.labels)


def reference_regions(values: FloatArray) -> LabelArray:
    """Return regions `(H, W)` of a plane of full counts."""
    return (
        get_partitioner("superpixel").partition(get_task("pet-synthesis").normalise(values)).labels
    )


def uptake_bias(output: FloatArray, reference: FloatArray, labels: LabelArray) -> dict[str, float]:
    """Return biases of SUVmean and SUVmax in percent; empty for a plane without uptake."""
    flat = labels.ravel()
    pixels = np.bincount(flat)
    one, two = (
        np.bincount(flat, plane.ravel()) / np.maximum(pixels, 1) for plane in (output, reference)
    )
    warm = (two >= _LEAST_SUV) & (pixels >= _LEAST_PIXELS)
    if not warm.any():
        return {}
    bias = 100 * (one[warm] / two[warm] - 1)
    hottest = labels == int(np.where(warm, two, 0).argmax())
    highest = 100 * (float(output[hottest].max()) / float(reference[hottest].max()) - 1)
    return {
        "mean_bias": float(bias.mean()),
        "mean_error": float(np.abs(bias).mean()),
        "max_bias": highest,
        "total_bias": 100 * (float(output.sum()) / float(reference.sum()) - 1),
    }
