"""Restores one scan: reads its planes, whole or in panes, and writes what a model makes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ratcli.adjacent import Adjacent
from ratcli.formats.sampling import middle_values, refuse_doubtful_white
from ratcli.network.neighbours import Neighbour, Neighbours
from ratcli.pipeline.cutting import Blending, Cut, Pane
from ratcli.pipeline.progress import InsidePlanes, PlaneProgress
from ratcli.regions import Regions
from ratcli.scan import BoolArray, FloatArray, ScanReader, ScanWriter
from ratcli.task import Task

if TYPE_CHECKING:
    from ratcli.pipeline.model import Model, RestoredPlane

RegionsOf = Callable[[int], Regions]

# Planes up to this size are read once and kept while their panes are restored.
HELD_BYTES = 1 << 28


@dataclass(frozen=True)
class Outputs:
    """Where the planes of a restored scan go.

    Attributes:
        restored: gets the restored scan.
        residual: gets input minus output, or None; for tasks that keep the grid.
        uncertainty: gets the standard deviation of each pixel, or None. Needs several views or
            weights.
    """

    restored: ScanWriter
    residual: ScanWriter | None = None
    uncertainty: ScanWriter | None = None


@dataclass(frozen=True)
class RestoreSummary:
    """What became of a scan.

    Attributes:
        planes: planes restored.
        seconds: time for the whole scan.
        network_seconds: time in the network alone.
        partition_seconds: time in the partitioner alone.
        regions: mean number of regions of a plane or pane.
        mean_change: mean of output minus input over restored pixels, in the scan's unit.
        noise_removed: standard deviation of output minus input over them, in the scan's unit.
    """

    planes: int
    seconds: float
    network_seconds: float
    partition_seconds: float
    regions: float
    mean_change: float
    noise_removed: float


def check(task: Task, reader: ScanReader) -> None:
    """Refuse a scan that the task is not for, before any weights load.

    If the file does not state the unit, the values of the middle plane must be plausible.

    Raises:
        UnsuitableInputError: other modality, unit, channels or range, or it is not known which
            number is white.
        UnreadableInputError: pixel data are damaged.
    """
    task.check(reader.info)
    refuse_doubtful_white(reader)
    if reader.info.unit is None:
        task.check_values(middle_values(reader))


def restore_scan(
    reader: ScanReader,
    outputs: Outputs,
    model: Model,
    *,
    regions: RegionsOf | None = None,
    progress: PlaneProgress | None = None,
    planes: Sequence[int] | None = None,
) -> RestoreSummary:
    """Restore every plane of a scan, or some of them.

    Args:
        reader: the scan.
        outputs: writers made from the reader; the caller enters and closes them.
        model: the loaded networks.
        regions: gives the regions of a plane, on the input's grid, in place of the partitioner.
        progress: called after each step, and within it from time to time.
        planes: those to restore; None for all. Others may serve as their neighbours.

    Raises:
        UnsuitableInputError: the scan is not what the task restores.
        UnreadableInputError: pixel data are damaged.
        OutputError: the output cannot be written.
        DeviceError: too little memory, even for the smallest tile.
        ValueError: an uncertainty is wanted of a plane that is restored only once.
    """
    task, cut, began = model.settings.task, model.cut(reader.info), time.perf_counter()
    check(task, reader)
    factor = np.float32(task.unit_factor(reader.info))
    source = _Source(reader, cut, regions, model.adjacent(reader.info), planes)
    target = _Target(outputs, model, cut, factor)
    for parts in source.groups(model.batch):
        inside = InsidePlanes(progress, target.done, len(parts), source.total)
        seen = zip(*(part.seen(factor) for part in parts), strict=True)
        values, padding, given, near, outer = seen
        restored = model.restore(values, padding, given, near, outer, inside.heard)
        target.write(parts, restored)
        if progress is not None:
            progress(target.done, source.total)
    return target.summary(len(source.planes), time.perf_counter() - began)


@dataclass(frozen=True)
class _Part:
    """A pane that was read: values `(C, H, W)` in the scan's unit, padding `(H, W)`, regions.

    `neighbours` are the same pane of the planes beside it, `outer` as in `ReadPlane`.
    """

    plane: int
    pane: Pane
    values: FloatArray
    padding: BoolArray
    regions: Regions | None
    neighbours: Neighbours
    outer: BoolArray | None

    def seen(
        self, factor: np.float32
    ) -> tuple[FloatArray, BoolArray, Regions | None, Neighbours, BoolArray | None]:
        """Return what a model restores the pane from, in the task's first unit."""
        near = [each and each.scaled(factor) for each in self.neighbours]
        return self.values * factor, self.padding, self.regions, near, self.outer


class _Source:
    """Reads panes; a plane that is not too large is read once."""

    def __init__(
        self,
        reader: ScanReader,
        cut: Cut,
        regions: RegionsOf | None,
        adjacent: Sequence[tuple[Adjacent | None, ...]],
        planes: Sequence[int] | None,
    ) -> None:
        self._reader = reader
        self.planes = range(reader.info.planes) if planes is None else planes
        self._panes = cut.panes()
        self._regions = regions
        self._adjacent = adjacent
        self._held: dict[int, tuple[FloatArray, BoolArray]] = {}
        self._outer = (-1, np.zeros((0, 0), np.bool_))
        info = reader.info
        self._holds = min(
            1 + len(adjacent[0]), HELD_BYTES // (4 * info.channels * info.height * info.width)
        )

    @property
    def total(self) -> int:
        """Panes of all planes that are restored."""
        return len(self.planes) * len(self._panes)

    def groups(self, batch: int) -> Iterator[list[_Part]]:
        """Yield panes of equal shape, in reading order, at most `batch` together."""
        group: list[_Part] = []
        for plane, pane in product(self.planes, self._panes):
            if group and (len(group) == batch or pane.shape != group[-1].pane.shape):
                yield group
                group = []
            group.append(self._read(plane, pane))
        yield group

    def _read(self, plane: int, pane: Pane) -> _Part:
        values, padding = self._values(plane, pane)
        regions = None if self._regions is None else self._regions(plane)
        if pane.read is not None and regions is not None:
            regions = Regions.from_labels(regions.crop(pane.read))
        neighbours = [at and self._neighbour(at, pane) for at in self._adjacent[plane]]
        return _Part(plane, pane, values, padding, regions, neighbours, self._outer_of(plane, pane))

    def _outer_of(self, plane: int, pane: Pane) -> BoolArray | None:
        """Return where padding surrounds the object in a pane, if the whole plane is held."""
        from ratcli.holes import not_measured, surroundings

        if pane.read is None or plane not in self._held:
            return None
        if plane != self._outer[0]:
            self._outer = plane, surroundings(not_measured(*self._held[plane]))
        return self._outer[1][pane.read.slices]

    def _neighbour(self, at: Adjacent, pane: Pane) -> Neighbour:
        values, padding = self._values(at.plane, pane)
        return Neighbour(values, at.gap_mm, ~padding)

    def _values(self, plane: int, pane: Pane) -> tuple[FloatArray, BoolArray]:
        """Return the values and the padding of a pane."""
        if plane not in self._held and (pane.read is None or self._holds):
            while self._held and len(self._held) >= self._holds:
                self._held.pop(next(iter(self._held)))  # before the next plane is read
            self._held[plane] = (self._reader.read(plane), self._reader.padding(plane))
        if pane.read is None:
            return self._held[plane]
        rows, columns = pane.read.slices
        if plane in self._held:
            values, padding = self._held[plane]
            return values[:, rows, columns], padding[rows, columns]
        return self._reader.read(plane, pane.read), self._reader.padding(plane, pane.read)


class _Target:
    """Blends panes, writes them, and counts what has changed."""

    def __init__(self, outputs: Outputs, model: Model, cut: Cut, factor: np.float32) -> None:
        if outputs.uncertainty is not None and model.settings.samples == 1:
            raise ValueError("an uncertainty needs several views or weights")
        self._outputs = outputs
        self._cut = cut
        self._task = task = model.settings.task
        self._factor = factor
        self._plane = -1
        self._blend = self._blend_uncertainty = Blending(cut, task.scale)
        self._network = self._partition = 0.0
        self._counts: list[int] = []
        self._pixels, self._sum, self._squares = 0, 0.0, 0.0

    @property
    def done(self) -> int:
        """Planes or panes that were written."""
        return len(self._counts)

    def write(self, parts: Sequence[_Part], restored: Sequence[RestoredPlane]) -> None:
        for part, plane in zip(parts, restored, strict=True):
            self._write(part, plane)

    def _write(self, part: _Part, restored: RestoredPlane) -> None:
        self._partition += restored.partition_seconds
        self._network += restored.network_seconds
        self._counts.append(restored.regions)
        scale, write = self._task.scale, part.pane.write
        box = None if write is None else write.scaled(scale)
        if part.plane != self._plane:
            self._plane = part.plane
            self._blend = Blending(self._cut, scale)
            self._blend_uncertainty = Blending(self._cut, scale)
        values = self._blend.join(part.pane, restored.values)
        output = self._in_scans_unit(values)
        if scale == 1:
            before = part.pane.written(part.values)
            # A pixel that was not restored must not change by a rounding of the factor.
            output = np.where(values == before * self._factor, before, output)
            self._count_change(before, output, part.pane.written(part.padding))
            if self._outputs.residual is not None:
                residual = np.zeros_like(before, np.float32)
                np.subtract(before, output, out=residual, where=np.isfinite(before))
                self._outputs.residual.write(part.plane, residual, box)
        self._outputs.restored.write(part.plane, output, box)
        if self._outputs.uncertainty is not None:
            assert restored.uncertainty is not None
            joined = self._blend_uncertainty.join(part.pane, restored.uncertainty)
            self._outputs.uncertainty.write(part.plane, self._in_scans_unit(joined), box)

    def _in_scans_unit(self, values: FloatArray) -> FloatArray:
        return (values / self._factor).astype(np.float32, copy=False)

    def _count_change(self, before: FloatArray, output: FloatArray, padding: BoolArray) -> None:
        seen = ~(padding | self._task.outside(before * self._factor))
        change = (output[seen] - before[seen]).astype(np.float64)
        self._pixels += change.size
        self._sum += float(change.sum())
        self._squares += float((change**2).sum())

    def summary(self, planes: int, seconds: float) -> RestoreSummary:
        pixels = max(1, self._pixels)
        mean = self._sum / pixels
        return RestoreSummary(
            planes=planes,
            seconds=seconds,
            network_seconds=self._network,
            partition_seconds=self._partition,
            regions=float(np.mean(self._counts)),
            mean_change=mean,
            noise_removed=max(0.0, self._squares / pixels - mean**2) ** 0.5,
        )
