"""Examples for PET synthesis: real and procedural planes with the noise of fewer counts.

A real plane x already has noise. As for CT (`ratcli/training/ct.py`), the network sees `x + e` and
learns to return `x - c e`, where c is the variance of the noise in x over that of e, so that input
and target do not share noise. Both variances are measured in the same warm tissue. The noise e is
simulated for a smoothed plane: noise of PET is weaker where a plane is darker, and where it is
darker only by its own noise, e would be weaker just there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, uniform_filter

from ratcli.network.neighbours import Neighbour
from ratcli.partition import Partitioner, get_partitioner
from ratcli.physics.anatomy.pet import PetPlane, pet_slice
from ratcli.physics.local_noise import noise_map
from ratcli.physics.pet import expected_image, low_count_noise
from ratcli.physics.pet_acquisition import PetCounts, sample_counts
from ratcli.scan import BoolArray, FloatArray
from ratcli.task import Task
from ratcli.training.beside import correlations, draw_neighbours, some_absent, with_noise
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
_SMOOTH_PX = 1.5
# Distance in mm of drawn neighbours, how often a drawn plane has some, and the correlation of
# their noise: the axial blur of PET reaches into the next planes.
_DRAWN_GAP_MM = (1.5, 5.0)
_DRAWN_IN_SERIES = 0.75
_DRAWN_CORRELATION = (0.0, 0.7)


# A degraded plane `(H, W)`, its target, and degraded neighbours.
_Degraded = tuple[FloatArray, TargetPlane, list[Neighbour | None]]


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
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        is_procedural = not self._patients or rng.random() < self._recipe.procedural
        make = self._procedural if is_procedural else self._real
        degraded, target, near = make(rng, generator)
        context = self._recipe.network.context
        return make_example(self._task, self._partitioner, degraded[None], target, near, context)

    def _procedural(self, rng: np.random.Generator, generator: torch.Generator) -> _Degraded:
        """Draw true uptake, and make its noise-free image the target."""
        drawn, spacing_mm = _draw(rng)
        suv, attenuation = (
            torch.from_numpy(part) for part in (drawn.suv, drawn.attenuation_per_mm)
        )
        counts = self._counts(rng, drawn.suv, spacing_mm, original=None)
        clean = expected_image(suv, spacing_mm, counts, attenuation).numpy()
        near: list[Neighbour | None] = []
        if self._recipe.network.context and rng.random() < _DRAWN_IN_SERIES:
            gap_mm = float(rng.uniform(*_DRAWN_GAP_MM))
            near = some_absent(rng, draw_neighbours(rng, clean, spacing_mm, gap_mm))
        noise, *others = [
            low_count_noise(suv, spacing_mm, counts, generator, attenuation).numpy()
            for _ in range(1 + len(near))
        ]
        along = [float(rng.uniform(*_DRAWN_CORRELATION))] * len(near)
        beside = with_noise(near, along, noise, others, _not_negative)
        target = TargetPlane("procedural", clean[None], spacing_mm)
        return _not_negative(clean, noise), target, beside

    def _real(self, rng: np.random.Generator, generator: torch.Generator) -> _Degraded:
        """Choose a real plane, and add the noise of fewer counts to it."""
        plane = self._patients.draw_by_size(rng)
        factor = np.float32(rng.uniform(0.7, 1.4))
        values = plane.values[0] * factor
        height, width = values.shape
        whole = _mirrored(gaussian_filter(values, _SMOOTH_PX))
        counts = self._counts(rng, whole, plane.spacing_mm, original=1.0)
        near = some_absent(rng, plane.neighbours) if self._recipe.network.context else []
        draws = [
            low_count_noise(torch.from_numpy(whole), plane.spacing_mm, counts, generator)
            for _ in range(1 + len(near))
        ]
        added, *others = (draw.numpy()[:height, :width] for draw in draws)
        share = _own_share(values, added)
        stronger = np.float32(max(1.0, _LEAST_ADDED * share))
        noise, weight = stronger * added, np.float32((share / stronger) ** 2)
        along = correlations(plane.values[0], plane.neighbours, _correlation) if near else ()
        scaled = [each and each.scaled(factor) for each in near]
        beside = with_noise(scaled, along, noise, [stronger * other for other in others], _sum)
        target = replace(plane, values=(values - weight * noise)[None])
        return values + noise, target, beside

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


def _correlation(plane: FloatArray, other: FloatArray) -> float:
    """Return the correlation of the noise of two planes `(H, W)` in flat warm tissue."""
    warm = _warm(plane)
    local = noise_map(plane, _LOCAL_PX)
    flat = warm & (local <= np.percentile(local[warm], _FLATTEST)) if warm.any() else warm
    if flat.sum() < _LOCAL_PX**2:
        return 0.0
    mine, theirs = ((each - gaussian_filter(each, _SMOOTH_PX))[flat] for each in (plane, other))
    found = float(np.corrcoef(mine, theirs)[0, 1])
    return float(np.nan_to_num(found))


def _warm(plane: FloatArray) -> BoolArray:
    warm: BoolArray = uniform_filter(plane, _LOCAL_PX) > _WARM_SHARE * np.percentile(plane, 95)
    return warm


def _not_negative(plane: FloatArray, noise: FloatArray) -> FloatArray:
    """Return a plane with noise that is never below 0, as images of OSEM are."""
    noisy: FloatArray = np.maximum(plane + noise, np.minimum(plane, 0))
    return noisy


def _sum(plane: FloatArray, noise: FloatArray) -> FloatArray:
    return plane + noise


def _own_share(plane: FloatArray, added: FloatArray) -> float:
    """Return the noise that a plane `(H, W)` has over the noise that is added to it."""
    warm = _warm(plane)
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
