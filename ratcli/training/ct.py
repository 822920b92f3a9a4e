"""Material for CT denoising: real and procedural slices, degraded as a scanner would.

A real slice has noise of its own, and a network that is asked for that very slice learns to keep
it. So the target is made independent of the input's noise: with added noise e, the network sees
`x + e` and is asked for `x - c e`, where c is the variance of the slice's own noise over that of e.
Own noise and added noise cancel in their correlation, and the target is right on average. Where c
would be large, e is drawn stronger. e has about the reach of the slice's own noise.

Source: Pang et al., Recorrupted-to-Recorrupted, CVPR 2021 (recorrupted pairs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ratcli.partition import Partitioner, get_partitioner
from ratcli.physics.anatomy.ct import ct_slice
from ratcli.physics.ct import CtDose, blur_with_kernel, low_dose_noise, sample_dose
from ratcli.physics.kernels import Kernel
from ratcli.scan import FloatArray
from ratcli.task import Task
from ratcli.training.examples import Example, PatientPlanes, TargetPlane, make_example
from ratcli.training.own_noise import FlatPatches, find_flat_patches, kernels_like
from ratcli.training.recipe import Recipe

# Scanners store whole HU from -1024 up; most low-dose air is cut there.
_LOWEST_HU = -1024.0
_PROCEDURAL_SIZE = 384
# Added noise is at least this share of a slice's own, so that the target's noise stays bounded.
_LEAST_ADDED = 0.7
_HIGHEST_WEIGHT = 2.0


@dataclass(frozen=True)
class _OwnNoise:
    """What a real slice has of its own.

    Attributes:
        patches: where it is measured.
        kernels: whose noise reaches as far.
    """

    patches: FlatPatches
    kernels: list[Kernel]


class CtExamples:
    """Slices with the noise of a lower dose; patients are drawn evenly, whatever their slices.

    Args:
        task: `ct-denoise`.
        recipe: seed, noise range, share of procedural slices, partitioner.
        planes: slices of usual dose. Slices without flat soft tissue are used where there is no
            other.
    """

    def __init__(self, task: Task, recipe: Recipe, planes: Sequence[TargetPlane]) -> None:
        self._task = task
        self._recipe = recipe
        self._partitioner: Partitioner = get_partitioner(recipe.partition)
        self._own = {id(plane): _own_noise(plane) for plane in planes}
        measured = [plane for plane in planes if self._own[id(plane)] is not None]
        self._patients = PatientPlanes(measured or planes)

    def make(self, index: int) -> Example:
        """Return the example of an index."""
        rng = np.random.default_rng((self._recipe.seed, index))
        if not self._patients or rng.random() < self._recipe.procedural:
            noisy, target = self._procedural(rng)
        else:
            noisy, target = self._real(rng)
        return make_example(self._task, self._partitioner, noisy[None], target)

    def _procedural(self, rng: np.random.Generator) -> tuple[FloatArray, TargetPlane]:
        """Draw a slice that is free of noise; return it noisy `(H, W)`, and as it is."""
        spacing = float(rng.uniform(0.6, 1.0)) * 512 / _PROCEDURAL_SIZE
        hu, _ = ct_slice(rng, size=_PROCEDURAL_SIZE, spacing_mm=spacing)
        dose = sample_dose(rng, self._recipe.noise_hu)
        plane = _as_reconstructed(TargetPlane("procedural", hu[None], spacing), dose)
        return _stored(rng, plane.values[0], _noise(rng, plane, dose)), plane

    def _real(self, rng: np.random.Generator) -> tuple[FloatArray, TargetPlane]:
        """Draw a scanned slice; return it noisier `(H, W)`, and a target without that noise."""
        plane = self._patients.draw_evenly(rng)
        own = self._own[id(plane)]
        low, high = self._recipe.noise_hu
        if own is not None:
            low = max(low, _LEAST_ADDED * own.patches.noise_hu)
        dose = sample_dose(rng, (low, max(high, 1.5 * low)))
        if own is not None:
            dose = replace(dose, kernel=own.kernels[int(rng.integers(len(own.kernels)))])
        noise = _noise(rng, plane, dose)
        weight = _target_weight(own, noise)
        target = replace(plane, values=plane.values - np.float32(weight) * noise[None])
        return _stored(rng, plane.values[0], noise), target


def _own_noise(plane: TargetPlane) -> _OwnNoise | None:
    patches = find_flat_patches(plane.values[0])
    if patches is None:
        return None
    return _OwnNoise(patches, kernels_like(patches.lag_one, plane.spacing_mm))


def _target_weight(own: _OwnNoise | None, noise: FloatArray) -> float:
    """Return c: the variance of a slice's own noise over that of the added noise."""
    if own is None:
        return 0.0
    added = own.patches.deviation(noise)
    return min(_HIGHEST_WEIGHT, (own.patches.noise_hu / added) ** 2) if added > 0 else 0.0


def _noise(rng: np.random.Generator, plane: TargetPlane, dose: CtDose) -> FloatArray:
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = low_dose_noise(torch.from_numpy(plane.values[0]), plane.spacing_mm, dose, generator)
    array: FloatArray = noise.numpy()
    return array


def _stored(rng: np.random.Generator, hu: FloatArray, noise: FloatArray) -> FloatArray:
    """Return a noisy slice as scanners store it: whole HU, mostly cut at -1024."""
    noisy: FloatArray = (hu + noise).round()
    if rng.random() < 0.7:
        noisy = np.maximum(noisy, np.minimum(_LOWEST_HU, hu))
    return noisy


def _as_reconstructed(plane: TargetPlane, dose: CtDose) -> TargetPlane:
    """Show a drawn plane through the kernel that its noise will have."""
    hu = torch.from_numpy(plane.values)
    return replace(plane, values=blur_with_kernel(hu, plane.spacing_mm, dose.kernel).numpy())
