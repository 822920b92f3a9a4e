"""Examples for PET synthesis: real and procedural planes with the noise of fewer counts.

A real plane x already has noise. As for CT (`ratcli/training/ct.py`), the network sees `x + e` and
learns to return `x - c e`, where c is the variance of the noise in x over that of e, so that input
and target do not share noise. Both variances are measured in the same warm tissue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from ratcli.partition import Partitioner, get_partitioner
from ratcli.physics.anatomy.pet import PetPlane, pet_slice
from ratcli.physics.local_noise import noise_map
from ratcli.physics.pet import expected_image, low_count_noise
from ratcli.physics.pet_counts import PetCounts, sample_counts
from ratcli.scan import FloatArray
from ratcli.task import Task
from ratcli.training.examples import Example, PatientPlanes, TargetPlane, make_example
from ratcli.training.recipe import Recipe

_PROCEDURAL_SIZE = 128
# Region, how often it is drawn, and the width of the field of view in mm.
_REGIONS: dict[str, tuple[float, tuple[float, float]]] = {
    "head": (0.3, (220, 330)),
    "chest": (0.25, (450, 700)),
    "abdomen": (0.25, (450, 700)),
    "pelvis": (0.12, (450, 700)),
    "limbs": (0.08, (350, 600)),
}
# Uptake of a plane through the trunk, for which the counts of a protocol are meant.
_TRUNK_SUV_MM2 = 50_000.0
# Scans cut out around a lesion are mirrored to the size of a thigh, since tissue outside the cut
# attenuates, too.
_LEAST_SIDE = 68
# Noise is measured in tissue with at least this share of the plane's 95th percentile. The flattest
# quarter of it shows little but noise.
_WARM_SHARE = 0.2
_LOCAL_PX = 5
_FLATTEST = 25
# The added noise is at least this share of the noise in the plane: it bounds c.
_LEAST_ADDED = 0.7


class PetExamples:
    """Planes with fewer counts; a patient is drawn in proportion to the square root of the pixels.

    Args:
        task: `pet-synthesis`.
        recipe: seed, range of the reduction of counts, share of procedural planes, partitioner.
        planes: planes of full counts, in SUV.
    """

    def __init__(self, task: Task, recipe: Recipe, planes: Sequence[TargetPlane]) -> None:
        self._task = task
        self._recipe = recipe
        self._partitioner: Partitioner = get_partitioner(recipe.partition)
        self._patients = PatientPlanes(planes)

    def make(self, index: int) -> Example:
        """Return the example of an index."""
        rng = np.random.default_rng((self._recipe.seed, index))
        is_procedural = not self._patients or rng.random() < self._recipe.procedural
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        if is_procedural:
            plane, noise = self._procedural(rng, generator)
            target = plane
        else:
            plane, noise, weight = self._real(rng, generator)
            target = replace(plane, values=plane.values - np.float32(weight) * noise)
        degraded = np.maximum(plane.values + noise, np.minimum(plane.values, 0))
        context = self._recipe.network.context
        return make_example(self._task, self._partitioner, degraded, target, (), context)

    def _procedural(
        self, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[TargetPlane, FloatArray]:
        """Draw true uptake; return its noise-free image, and noise `(1, N, N)`."""
        drawn, spacing_mm = _draw(rng)
        suv, attenuation = (
            torch.from_numpy(part) for part in (drawn.suv, drawn.attenuation_per_mm)
        )
        counts = self._counts(rng, drawn.suv, spacing_mm, original=None)
        clean = expected_image(suv, spacing_mm, counts, attenuation)
        noise = low_count_noise(suv, spacing_mm, counts, generator, attenuation)
        return TargetPlane("procedural", clean.numpy()[None], spacing_mm), noise.numpy()[None]

    def _real(
        self, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[TargetPlane, FloatArray, float]:
        """Choose a real plane; return it, the noise `(1, H, W)` of fewer counts, and c."""
        plane = self._patients.draw_by_size(rng)
        values = plane.values * np.float32(rng.uniform(0.7, 1.4))
        plane = replace(plane, values=values)
        whole = _mirrored(values[0])
        counts = self._counts(rng, whole, plane.spacing_mm, original=1.0)
        noise = low_count_noise(torch.from_numpy(whole), plane.spacing_mm, counts, generator)
        height, width = values.shape[1:]
        added = noise.numpy()[:height, :width]
        share = _own_share(values[0], added)
        stronger = max(1.0, _LEAST_ADDED * share)
        return plane, np.float32(stronger) * added[None], (share / stronger) ** 2

    def _counts(
        self, rng: np.random.Generator, suv: FloatArray, spacing_mm: float, original: float | None
    ) -> PetCounts:
        """Draw a protocol; a plane with little uptake gets fewer counts."""
        low, high = self._recipe.reduction
        fraction = float(np.exp(-rng.uniform(np.log(low), np.log(high))))
        uptake = float(suv.sum()) * spacing_mm**2
        share = min(1.0, max(0.1, uptake / _TRUNK_SUV_MM2)) ** rng.uniform(0, 1)
        drawn = sample_counts(rng, original)
        return replace(drawn, counts=drawn.counts * share, fraction=fraction)


def _own_share(plane: FloatArray, added: FloatArray) -> float:
    """Return the noise that a plane `(H, W)` has over the noise that is added to it."""
    warm = uniform_filter(plane, _LOCAL_PX) > _WARM_SHARE * np.percentile(plane, 95)
    if not warm.any():
        return 0.0
    own, new = (
        float(np.percentile(noise_map(values, _LOCAL_PX)[warm], _FLATTEST))
        for values in (plane, added)
    )
    return own / new if new > 0 else 0.0


def _draw(rng: np.random.Generator) -> tuple[PetPlane, float]:
    """Draw a procedural plane and its pixel pitch in mm."""
    chances = [chance for chance, _ in _REGIONS.values()]
    region = str(rng.choice(list(_REGIONS), p=chances))
    spacing_mm = float(rng.uniform(*_REGIONS[region][1])) / _PROCEDURAL_SIZE
    return pet_slice(rng, _PROCEDURAL_SIZE, spacing_mm, region), spacing_mm


def _mirrored(plane: FloatArray) -> FloatArray:
    """Extend a small plane `(H, W)` downwards and to the right."""
    down, right = (max(0, _LEAST_SIDE - side) for side in plane.shape)
    return np.ascontiguousarray(np.pad(plane, ((0, down), (0, right)), mode="symmetric"))
