"""Material: degraded and clean planes with their regions, made endlessly from a seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ratcli.partition import Partitioner
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.task import Task


@dataclass(frozen=True)
class CleanPlane:
    """A plane of a scan of usual dose.

    Attributes:
        patient: what may not be split over training and validation; never a name.
        values: float32 `(C, H, W)` in the task's unit.
        spacing_mm: pixel pitch.
    """

    patient: str
    values: FloatArray
    spacing_mm: float


@dataclass(frozen=True)
class Example:
    """One plane to learn from, in the network's units.

    Attributes:
        degraded: float32 `(C, H, W)`.
        clean: float32 `(C, s*H, s*W)`.
        labels: int32 `(s*H, s*W)`.
        name: where it comes from, for logs; never a patient's name.
    """

    degraded: FloatArray
    clean: FloatArray
    labels: LabelArray
    name: str


class Source(Protocol):
    """Makes examples; the same index gives the same example."""

    def make(self, index: int) -> Example:
        """Return the example of an index."""


class Patients:
    """Clean planes to draw from, patient by patient.

    Args:
        planes: of any number of patients.
    """

    def __init__(self, planes: Sequence[CleanPlane]) -> None:
        self._planes: dict[str, list[CleanPlane]] = {}
        for plane in planes:
            self._planes.setdefault(plane.patient, []).append(plane)
        self._names = sorted(self._planes)
        pixels = [sum(plane.values[0].size for plane in self._planes[n]) for n in self._names]
        roots = np.sqrt(np.array(pixels, np.float64))
        self._shares = roots / max(1.0, roots.sum())

    def __bool__(self) -> bool:
        return bool(self._names)

    def draw_evenly(self, rng: np.random.Generator) -> CleanPlane:
        """Draw a patient, whatever the number of planes, and one of the planes."""
        return self._one_of(rng, int(rng.integers(len(self._names))))

    def draw_by_size(self, rng: np.random.Generator) -> CleanPlane:
        """Draw a patient by the square root of all pixels, and one of the planes.

        For scans of very different sizes: a whole body beside a few centimetres of a leg.
        """
        return self._one_of(rng, int(rng.choice(len(self._names), p=self._shares)))

    def _one_of(self, rng: np.random.Generator, patient: int) -> CleanPlane:
        planes = self._planes[self._names[patient]]
        return planes[int(rng.integers(len(planes)))]


def example_from(
    task: Task, partitioner: Partitioner, degraded: FloatArray, clean: CleanPlane
) -> Example:
    """Put a degraded plane beside its clean one, with regions found as at restore time.

    Args:
        task: maps both to the network's units.
        partitioner: sees the degraded plane.
        degraded: `(C, H, W)` in the task's unit.
        clean: `(C, s*H, s*W)`, s the task's scale.
    """
    seen = task.normalise(degraded)
    labels = partitioner.partition(seen).labels
    if task.scale != 1:
        labels = labels.repeat(task.scale, 0).repeat(task.scale, 1)
    return Example(seen, task.normalise(clean.values), labels, clean.patient)


@dataclass(frozen=True)
class Batch:
    """Patches of one step: `(B,C,h,w)`, `(B,C,s*h,s*w)` and `(B,s*h,s*w)`."""

    degraded: Tensor
    clean: Tensor
    labels: Tensor


class Pool:
    """Prepared planes from which patches are cut; some are replaced after every step.

    What the pool holds at a step depends on the step alone, so that a resumed run goes on as an
    undisturbed one.

    Args:
        source: makes the planes.
        size: planes held.
        refresh: planes replaced at each step.
        step: step at which the run begins or goes on.
        workers: processes that make planes ahead; 0 makes them here.
    """

    def __init__(
        self, source: Source, size: int, refresh: int, step: int = 0, workers: int = 0
    ) -> None:
        self._refresh = refresh
        self._next = step * refresh
        self._size = size
        self._stream = _ahead(source, self._next, workers)
        self._examples: dict[int, Example] = {}
        self._take(size)

    def advance(self) -> None:
        """Replace the oldest planes."""
        self._take(self._refresh)

    def _take(self, count: int) -> None:
        for _ in range(count):
            self._examples[self._next % self._size] = next(self._stream)
            self._next += 1

    def draw(self, rng: np.random.Generator, count: int, patch: int, scale: int) -> Batch:
        """Cut patches at random places, turned and mirrored.

        Args:
            rng: source of randomness.
            count: patches, each of another plane where there are enough.
            patch: side on the output's grid.
            scale: output pixels for each input pixel and axis.
        """
        size = len(self._examples)
        chosen = rng.choice(size, count, replace=count > size)
        cuts = [_cut(self._examples[int(slot)], rng, patch // scale, scale) for slot in chosen]
        degraded, clean, labels = zip(*cuts, strict=True)
        return Batch(
            torch.from_numpy(np.stack(degraded)),
            torch.from_numpy(np.stack(clean)),
            torch.from_numpy(np.stack(labels)),
        )


def _ahead(source: Source, first: int, workers: int) -> Iterator[Example]:
    """Yield a source's examples from an index on, in order, whichever process makes them."""
    if workers == 0:
        return map(source.make, itertools.count(first))
    stream = _Stream(source, first)
    return iter(DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=_same))


class _Stream(IterableDataset[Example]):
    """The examples that are this worker's to make."""

    def __init__(self, source: Source, first: int) -> None:
        self._source, self._first = source, first

    def __iter__(self) -> Iterator[Example]:
        worker = get_worker_info()
        offset, step = (worker.id, worker.num_workers) if worker else (0, 1)
        return map(self._source.make, itertools.count(self._first + offset, step))


def _same(example: Any) -> Any:
    return example


def _cut(
    example: Example, rng: np.random.Generator, side: int, scale: int
) -> tuple[FloatArray, FloatArray, LabelArray]:
    """Cut one patch; planes smaller than a patch are extended by reflection."""
    example = _at_least(example, side, scale)
    _, height, width = example.degraded.shape
    for _ in range(4):
        top, left = (int(rng.integers(n - side + 1)) for n in (height, width))
        coarse = (slice(top, top + side), slice(left, left + side))
        if _inside(example.degraded, coarse).std() > 0.05:
            break
    fine = (_scaled(coarse[0], scale), _scaled(coarse[1], scale))
    turn = _Symmetry(rng)
    return (
        turn(_inside(example.degraded, coarse)),
        turn(_inside(example.clean, fine)),
        turn(example.labels[fine[0], fine[1]]),
    )


def _scaled(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)


def _inside(planes: FloatArray, part: tuple[slice, slice]) -> FloatArray:
    return planes[:, part[0], part[1]]


class _Symmetry:
    """A mirroring, and now and then a transposition, of the last two axes.

    Transposing is rare: noise of a body that is wider than tall has a direction.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._flips = tuple(axis for axis in (-1, -2) if rng.random() < 0.5)
        self._transpose = rng.random() < 0.25

    def __call__(self, array: Any) -> Any:
        if self._flips:
            array = np.flip(array, self._flips)
        if self._transpose:
            array = array.swapaxes(-1, -2)
        return np.ascontiguousarray(array)


def _at_least(example: Example, side: int, scale: int) -> Example:
    """Extend a plane that is smaller than a patch."""
    _, height, width = example.degraded.shape
    down, right = max(0, side - height), max(0, side - width)
    if not down and not right:
        return example

    def grown(array: Any, factor: int) -> Any:
        edges = [(0, 0)] * (array.ndim - 2) + [(0, down * factor), (0, right * factor)]
        return np.pad(array, edges, mode="symmetric")

    return Example(
        grown(example.degraded, 1),
        grown(example.clean, scale),
        grown(example.labels, scale),
        example.name,
    )
