"""Examples for the compact SAM: degraded pictures beside the regions of clean ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ratcli.partition.superpixel import Superpixel
from ratcli.physics.anatomy.ct import ct_slice
from ratcli.physics.ct import low_dose_noise
from ratcli.physics.ct_dose import sample_dose
from ratcli.regions import LabelArray
from ratcli.tasks.ct_denoise import CT_DENOISE
from ratcli.training.examples import PatientPlanes, TargetPlane
from research.sam.drawing import DrawnPlane, draw_gray, draw_stained


class SamExamples:
    """Draws planes with regions: procedural and real CT, gray and stained pictures.

    Args:
        seed: decides everything.
        planes: clean planes in HU; may be empty.
        real: share of real planes among the CT planes.
        noise_hu: range of the simulated noise.
    """

    def __init__(
        self,
        seed: int,
        planes: Sequence[TargetPlane],
        real: float,
        noise_hu: tuple[float, float],
    ) -> None:
        self._seed, self._noise_hu = seed, noise_hu
        self._real = real if planes else 0.0
        self._patients = PatientPlanes(planes)

    def make(self, index: int, side: int) -> DrawnPlane:
        """Return the plane of an index, a picture of `(side, side)`."""
        rng = np.random.default_rng((self._seed, index))
        kind = rng.random()
        if kind < 0.2:
            return draw_stained(rng, side)
        if kind < 0.4:
            return draw_gray(rng, side)
        if rng.random() < self._real:
            return self._real_ct(rng, side)
        spacing = float(rng.uniform(0.6, 1.0)) * 512 / side
        hu, labels = ct_slice(rng, size=side, spacing_mm=spacing)
        return self._degraded(rng, TargetPlane("procedural", hu[None], spacing), labels, None)

    def _real_ct(self, rng: np.random.Generator, side: int) -> DrawnPlane:
        """Return a real plane; its regions are classes of intensity, at a random scale."""
        plane = _cropped(self._patients.draw_evenly(rng), side, rng)
        classical = Superpixel(
            sigma_gray=float(rng.uniform(1.2, 2.5)),
            classes_gray=int(rng.integers(4, 8)),
            softness=float(rng.choice([0.15, 0.25, 0.5])),
            smallest=int(rng.choice([64, 128, 256])),
        )
        labels = classical.partition(CT_DENOISE.normalise(plane.values)).labels
        return self._degraded(rng, plane, labels, 1.0)

    def _degraded(
        self,
        rng: np.random.Generator,
        plane: TargetPlane,
        labels: LabelArray,
        original: float | None,
    ) -> DrawnPlane:
        """Show a clean plane as a low dose would; its regions stay those of the clean one."""
        values = plane.values[0]
        if rng.random() < 0.8:
            dose = replace(sample_dose(rng, self._noise_hu), original=original)
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            hu = torch.from_numpy(values)
            values = (hu + low_dose_noise(hu, plane.spacing_mm, dose, generator)).numpy()
        return DrawnPlane(CT_DENOISE.normalise(values[None].astype(np.float32)), labels)


def turned(rng: np.random.Generator, plane: DrawnPlane) -> DrawnPlane:
    """Mirror and transpose a plane at random."""
    values, labels = plane.values, plane.labels
    for axis in (-1, -2):
        if rng.random() < 0.5:
            values, labels = np.flip(values, axis), np.flip(labels, axis)
    if rng.random() < 0.5:
        values, labels = values.swapaxes(-1, -2), labels.T
    return DrawnPlane(np.ascontiguousarray(values), np.ascontiguousarray(labels))


def _cropped(plane: TargetPlane, size: int, rng: np.random.Generator) -> TargetPlane:
    """Cut or subsample a plane to a square of `size`."""
    values = plane.values
    short = min(values.shape[1:])
    step = max(1, short // size)
    values = values[:, ::step, ::step]
    down, right = (max(0, size - n) for n in values.shape[1:])
    values = np.pad(values, ((0, 0), (0, down), (0, right)), mode="edge")
    top, left = (int(rng.integers(n - size + 1)) for n in values.shape[1:])
    cut = np.ascontiguousarray(values[:, top : top + size, left : left + size])
    return replace(plane, values=cut, spacing_mm=plane.spacing_mm * step)
