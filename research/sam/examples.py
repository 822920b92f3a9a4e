"""Examples for the compact SAM: degraded pictures beside the regions of clean ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ratcli.partition.superpixel import Superpixel
from ratcli.physics.anatomy.ct import ct_slice
from ratcli.physics.ct import low_dose_noise, sample_dose
from ratcli.regions import LabelArray
from ratcli.tasks.ct_denoise import CT_DENOISE
from ratcli.training.material import CleanPlane
from research.sam.drawing import LabelledPlane, draw_gray, draw_stained


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
        planes: Sequence[CleanPlane],
        real: float,
        noise_hu: tuple[float, float],
    ) -> None:
        self._seed, self._noise_hu = seed, noise_hu
        self._real = real if planes else 0.0
        self._patients: dict[str, list[CleanPlane]] = {}
        for plane in planes:
            self._patients.setdefault(plane.patient, []).append(plane)

    def make(self, index: int, side: int) -> LabelledPlane:
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
        return self._degraded(rng, CleanPlane("procedural", hu[None], spacing), labels, None)

    def _real_ct(self, rng: np.random.Generator, side: int) -> LabelledPlane:
        """A real plane; its regions are those of classes of intensity, at a random scale."""
        patient = sorted(self._patients)[int(rng.integers(len(self._patients)))]
        planes = self._patients[patient]
        plane = _cropped(planes[int(rng.integers(len(planes)))], side, rng)
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
        plane: CleanPlane,
        labels: LabelArray,
        original: float | None,
    ) -> LabelledPlane:
        """Show a clean plane as a low dose would; its regions stay those of the clean one."""
        values = plane.values[0]
        if rng.random() < 0.8:
            dose = replace(sample_dose(rng, self._noise_hu), original=original)
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            hu = torch.from_numpy(values)
            values = (hu + low_dose_noise(hu, plane.spacing_mm, dose, generator)).numpy()
        return LabelledPlane(CT_DENOISE.normalise(values[None].astype(np.float32)), labels)


class LabelledPool:
    """Planes to draw from; the oldest are replaced after every step.

    What it holds depends on the step alone, so that a resumed run goes on as an undisturbed one.

    Args:
        source: draws planes.
        side: of a picture.
        size: planes held.
        refresh: planes replaced at each step.
        step: step at which the run begins or goes on.
        workers: processes that draw planes ahead; 0 draws them here.
    """

    def __init__(
        self,
        source: SamExamples,
        side: int,
        size: int,
        refresh: int,
        step: int = 0,
        workers: int = 0,
    ) -> None:
        self._size, self._refresh, self._next = size, refresh, step * refresh
        stream = _Stream(source, side, self._next)
        loader = DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=_same)
        self._stream: Iterator[LabelledPlane] = iter(loader)
        self._planes: dict[int, LabelledPlane] = {}
        self._take(size)

    def advance(self) -> None:
        """Replace the oldest planes."""
        self._take(self._refresh)

    def draw(self, rng: np.random.Generator, count: int) -> list[LabelledPlane]:
        """Draw planes, mirrored and transposed at random."""
        chosen = rng.choice(self._size, count, replace=count > self._size)
        return [_turned(rng, self._planes[int(slot)]) for slot in chosen]

    def _take(self, count: int) -> None:
        for _ in range(count):
            self._planes[self._next % self._size] = next(self._stream)
            self._next += 1


class _Stream(IterableDataset[LabelledPlane]):
    """Planes from an index on, in order, whichever process draws them."""

    def __init__(self, source: SamExamples, side: int, first: int) -> None:
        self._source, self._side, self._first = source, side, first

    def __iter__(self) -> Iterator[LabelledPlane]:
        worker = get_worker_info()
        offset, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in itertools.count(self._first + offset, step):
            yield self._source.make(index, self._side)


def _same(plane: Any) -> Any:
    return plane


def _turned(rng: np.random.Generator, plane: LabelledPlane) -> LabelledPlane:
    values, labels = plane.values, plane.labels
    for axis in (-1, -2):
        if rng.random() < 0.5:
            values, labels = np.flip(values, axis), np.flip(labels, axis)
    if rng.random() < 0.5:
        values, labels = values.swapaxes(-1, -2), labels.T
    return LabelledPlane(np.ascontiguousarray(values), np.ascontiguousarray(labels))


def _cropped(plane: CleanPlane, size: int, rng: np.random.Generator) -> CleanPlane:
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
