"""Examples for CT denoising: real and procedural slices with the noise of a lower dose.

A real slice x already has noise. A network that learned to return x would learn to keep this
noise, so the target must not share noise with the input. We add noise e: the network sees `x + e`
and learns to return `x - c e`, where c is the variance of the noise in x divided by the variance of
e. Then the noise of the input and the noise of the target are uncorrelated, and the target is right
on average. If c would be large, a stronger e is drawn. The kernel of e is chosen so that its
correlation length is about that of the noise in x.

The neighbours of a slice get noise of their own. Where slices overlap, the noise of x is also in
its neighbours, so their added noise correlates with e as the noise of x with theirs. The same
argument then holds for each neighbour: its noise and that of the target are uncorrelated.

Source: Pang et al., Recorrupted-to-Recorrupted, CVPR 2021 (recorrupted pairs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from ratcli.network.neighbours import Neighbour, Neighbours
from ratcli.partition import Partitioner, get_partitioner
from ratcli.physics.anatomy.ct import ct_slice
from ratcli.physics.ct import blur_with_kernel, low_dose_noise
from ratcli.physics.ct_dose import CtDose, Kernel, sample_dose
from ratcli.physics.draws import log_uniform
from ratcli.scan import FloatArray
from ratcli.task import Task
from ratcli.training.beside import correlations, draw_neighbours, some_absent, with_noise
from ratcli.training.examples import Example, PatientPlanes, TargetPlane, make_example
from ratcli.training.lesions import plant_lesions
from ratcli.training.own_noise import FlatPatches, find_flat_patches, kernels_like
from ratcli.training.recipe import Recipe

# Scanners store whole HU from -1024 up; most low-dose air is cut there.
_LOWEST_HU = -1024.0
_PROCEDURAL_SIZE = 384
# The added noise is at least this share of the noise in the slice: it bounds c.
_LEAST_ADDED = 0.7
_HIGHEST_WEIGHT = 2.0
# How often a drawn slice has neighbours, and their distance in mm.
_DRAWN_IN_SERIES = 0.8
_DRAWN_GAP_MM = (0.6, 6.0)
# How often a slice is drawn among those that have neighbours, if the network uses them.
_FROM_SERIES = 0.7
# Correlation of the noise of neighbours: of drawn ones, and of unmeasured ones.
_DRAWN_CORRELATION = (0.0, 0.6)
_USUAL_CORRELATION = 0.3


@dataclass(frozen=True)
class _OwnNoise:
    """The noise that a real slice already has.

    Attributes:
        patches: the flat patches in which it is measured.
        kernels: kernels whose noise has about the same correlation length.
    """

    patches: FlatPatches
    kernels: list[Kernel]


class CtExamples:
    """Slices with the noise of a lower dose; each patient is drawn equally often.

    Args:
        task: `ct-denoise`.
        recipe: seed, noise range, share of procedural slices, partitioner.
        planes: slices of full dose. Slices without flat soft tissue are used only if there are no
            others.
    """

    def __init__(self, task: Task, recipe: Recipe, planes: Sequence[TargetPlane]) -> None:
        self._task = task
        self._recipe = recipe
        self._partitioner: Partitioner = get_partitioner(recipe.partition)
        self._own = {id(plane): _own_noise(plane) for plane in planes}
        measured = [plane for plane in planes if self._own[id(plane)] is not None]
        self._patients = PatientPlanes(measured or planes)
        self._series = PatientPlanes([p for p in measured or planes if any(p.neighbours)])

    def make(self, index: int) -> Example:
        """Return the example of an index."""
        rng = np.random.default_rng((self._recipe.seed, index))
        if not self._patients or rng.random() < self._recipe.procedural:
            noisy, target, near = self._procedural(rng)
        else:
            noisy, target, near = self._real(rng)
        context = self._recipe.network.context
        return make_example(self._task, self._partitioner, noisy[None], target, near, context)

    def _procedural(
        self, rng: np.random.Generator
    ) -> tuple[FloatArray, TargetPlane, list[Neighbour | None]]:
        """Draw a procedural slice; return it with noise `(H, W)`, as the target, and neighbours."""
        spacing = float(rng.uniform(0.6, 1.0)) * 512 / _PROCEDURAL_SIZE
        hu, _ = ct_slice(rng, size=_PROCEDURAL_SIZE, spacing_mm=spacing)
        dose = sample_dose(rng, self._recipe.noise_hu)
        near: Neighbours = ()
        if self._recipe.network.context and rng.random() < _DRAWN_IN_SERIES:
            gap_mm = log_uniform(rng, *_DRAWN_GAP_MM)
            near = [
                replace(each, values=_blurred(each.values, spacing, dose.kernel))
                for each in draw_neighbours(rng, hu, spacing, gap_mm)
            ]
        values = _blurred(hu[None], spacing, dose.kernel)
        plane = plant_lesions(rng, TargetPlane("procedural", values, spacing, near))
        along = float(rng.uniform(*_DRAWN_CORRELATION))
        noise, beside = self._noises(rng, plane, dose, [along] * len(near))
        return _stored(rng, plane.values[0], noise), plane, beside

    def _real(
        self, rng: np.random.Generator
    ) -> tuple[FloatArray, TargetPlane, list[Neighbour | None]]:
        """Choose a scanned slice; return it with added noise `(H, W)`, its target, neighbours."""
        is_in_series = self._recipe.network.context and rng.random() < _FROM_SERIES
        patients = self._series if is_in_series and self._series else self._patients
        plane = patients.draw_evenly(rng)
        own = self._own[id(plane)]
        low, high = self._recipe.noise_hu
        if own is not None:
            low = max(low, _LEAST_ADDED * own.patches.noise_hu)
        dose = sample_dose(rng, (low, max(high, 1.5 * low)))
        if own is not None:
            dose = replace(dose, kernel=own.kernels[int(rng.integers(len(own.kernels)))])
        along = self._along(plane, own)
        plane = plant_lesions(rng, plane)
        noise, beside = self._noises(rng, plane, dose, along)
        weight = _target_weight(own, noise)
        target = replace(plane, values=plane.values - np.float32(weight) * noise[None])
        return _stored(rng, plane.values[0], noise), target, beside

    def _along(self, plane: TargetPlane, own: _OwnNoise | None) -> Sequence[float]:
        """Return the correlation of a slice's noise with that of each neighbour."""
        if not self._recipe.network.context:
            return ()
        if own is None:
            return [_USUAL_CORRELATION] * len(plane.neighbours)
        return correlations(plane.values[0], plane.neighbours, own.patches.correlation)

    def _noises(
        self, rng: np.random.Generator, plane: TargetPlane, dose: CtDose, along: Sequence[float]
    ) -> tuple[FloatArray, list[Neighbour | None]]:
        """Return noise `(H, W)` for a slice, and its neighbours with noise that correlates."""
        context = self._recipe.network.context
        near = some_absent(rng, plane.neighbours) if context else []
        noise, *others = _noise(rng, plane, dose, 1 + len(near))
        return noise, with_noise(near, along, noise, others, partial(_stored, rng))


def _own_noise(plane: TargetPlane) -> _OwnNoise | None:
    patches = find_flat_patches(plane.values[0])
    if patches is None:
        return None
    return _OwnNoise(patches, kernels_like(patches.lag_one, plane.spacing_mm))


def _target_weight(own: _OwnNoise | None, noise: FloatArray) -> float:
    """Return c: the variance of the noise in a slice over the variance of the added noise."""
    if own is None:
        return 0.0
    added = own.patches.deviation(noise)
    return min(_HIGHEST_WEIGHT, (own.patches.noise_hu / added) ** 2) if added > 0 else 0.0


def _noise(
    rng: np.random.Generator, plane: TargetPlane, dose: CtDose, count: int
) -> list[FloatArray]:
    """Draw the noise of a slice several times, `(H, W)` each."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    planes = torch.from_numpy(plane.values).expand(count, -1, -1)
    return list(low_dose_noise(planes, plane.spacing_mm, dose, generator).numpy())


def _stored(rng: np.random.Generator, hu: FloatArray, noise: FloatArray) -> FloatArray:
    """Return a noisy slice as scanners store it: whole HU, and in most cases none below -1024."""
    noisy: FloatArray = (hu + noise).round()
    if rng.random() < 0.7:
        noisy = np.maximum(noisy, np.minimum(_LOWEST_HU, hu))
    return noisy


def _blurred(hu: FloatArray, spacing_mm: float, kernel: Kernel) -> FloatArray:
    """Blur procedural slices `(1, H, W)` with the kernel that their noise will have."""
    blurred: FloatArray = blur_with_kernel(torch.from_numpy(hu), spacing_mm, kernel).numpy()
    return blurred
