"""Material for CT denoising: real and procedural slices, degraded as a scanner would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ratcli.degrade.anatomy.ct import ct_slice
from ratcli.degrade.ct import CtDose, blur_with_kernel, low_dose_noise, sample_dose
from ratcli.partition import Partitioner, get_partitioner
from ratcli.task import Task
from ratcli.training.material import CleanPlane, Example, Patients, example_from
from ratcli.training.recipe import Recipe

# Scanners store whole HU from -1024 up; most low-dose air is cut there.
_LOWEST_HU = -1024.0
_PROCEDURAL_SIZE = 384


class CtSource:
    """Slices with the noise of a lower dose; patients are drawn evenly, whatever their slices.

    Args:
        task: `ct-denoise`.
        recipe: seed, noise range, share of procedural slices, partitioner.
        planes: slices of usual dose.
    """

    def __init__(self, task: Task, recipe: Recipe, planes: Sequence[CleanPlane]) -> None:
        self._task = task
        self._recipe = recipe
        self._partitioner: Partitioner = get_partitioner(recipe.partition)
        self._patients = Patients(planes)

    def make(self, index: int) -> Example:
        """Return the example of an index."""
        rng = np.random.default_rng((self._recipe.seed, index))
        plane, original = self._plane(rng)
        dose = replace(sample_dose(rng, self._recipe.noise_hu), original=original)
        if original is None:
            plane = _as_reconstructed(plane, dose)
        hu = torch.from_numpy(plane.values[0])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noise = low_dose_noise(hu, plane.spacing_mm, dose, generator)
        noisy = (hu + noise).round().numpy()
        if rng.random() < 0.7:
            noisy = np.maximum(noisy, np.minimum(_LOWEST_HU, plane.values[0]))
        return example_from(self._task, self._partitioner, noisy[None], plane)

    def _plane(self, rng: np.random.Generator) -> tuple[CleanPlane, float | None]:
        """Draw a slice, and the dose it was scanned at (None: free of noise)."""
        if not self._patients or rng.random() < self._recipe.procedural:
            spacing = float(rng.uniform(0.6, 1.0)) * 512 / _PROCEDURAL_SIZE
            hu, _ = ct_slice(rng, size=_PROCEDURAL_SIZE, spacing_mm=spacing)
            return CleanPlane("procedural", hu[None], spacing), None
        return self._patients.draw_evenly(rng), 1.0


def _as_reconstructed(plane: CleanPlane, dose: CtDose) -> CleanPlane:
    """Show a drawn plane through the kernel that its noise will have."""
    hu = torch.from_numpy(plane.values)
    return replace(plane, values=blur_with_kernel(hu, plane.spacing_mm, dose.kernel).numpy())
