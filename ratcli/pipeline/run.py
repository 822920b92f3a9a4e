"""One scan on its way through a restorer: read, restored and written in groups of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ratcli.pipeline.blocks import Block, blocks_of
from ratcli.pipeline.settings import RestoredBlock, RestoreSummary
from ratcli.regions import Regions
from ratcli.scan import BoolArray, Box, FloatArray, ScanReader, ScanWriter
from ratcli.task import Task

RegionsOf = Callable[[int], Regions]
PlaneProgress = Callable[[int, int], None]
"""Told how many planes are done, and of how many; of planes that are cut, how many blocks."""


class BlockRestorer(Protocol):
    """What a run needs of a restorer; see `Restorer.restore_blocks`."""

    def restore_blocks(
        self,
        values: Sequence[FloatArray],
        padding: Sequence[BoolArray],
        regions: Sequence[Regions | None],
    ) -> list[RestoredBlock]:
        """Restore blocks of one shape."""


@dataclass(frozen=True)
class Part:
    """A block of a plane that was read.

    Attributes:
        plane: index of the plane.
        block: where in it.
        values: `(C, H, W)` in the scan's unit.
        padding: `(H, W)`.
        regions: given ones, or None.
    """

    plane: int
    block: Block
    values: FloatArray
    padding: BoolArray
    regions: Regions | None


@dataclass(frozen=True)
class Outputs:
    """Where the planes of a run go.

    Attributes:
        restored: gets the restored scan.
        residual: gets input minus output, or None.
        uncertainty: gets standard deviations, or None.
    """

    restored: ScanWriter
    residual: ScanWriter | None = None
    uncertainty: ScanWriter | None = None


class ScanRun:
    """A scan, its writers, and what is counted on the way.

    Args:
        task: the task.
        reader: the scan.
        outputs: the writers.
        factor: turns the scan's unit into the task's.
        regions: gives regions of a plane, or None to compute them.
    """

    def __init__(
        self,
        task: Task,
        reader: ScanReader,
        outputs: Outputs,
        factor: float,
        regions: RegionsOf | None,
    ) -> None:
        self._task = task
        self._reader = reader
        self._outputs = outputs
        self._factor = np.float32(factor)
        self._regions = regions
        self._network = self._partition = 0.0
        self._counts: list[int] = []
        self._pixels, self._sum, self._squares = 0, 0.0, 0.0

    def run(self, restorer: BlockRestorer, batch: int, progress: PlaneProgress | None) -> None:
        """Restore and write every block, `batch` of them at a time."""
        blocks = blocks_of(self._reader.info, self._task.scale)
        done, total = 0, self._reader.info.planes * len(blocks)
        for group in self._groups(blocks, batch):
            parts = [self._read(plane, block) for plane, block in group]
            restored = restorer.restore_blocks(
                [part.values * self._factor for part in parts],
                [part.padding for part in parts],
                [part.regions for part in parts],
            )
            for part, block in zip(parts, restored, strict=True):
                self._write(part, block)
            done += len(group)
            if progress is not None:
                progress(done, total)

    def _groups(self, blocks: Sequence[Block], batch: int) -> Iterator[list[tuple[int, Block]]]:
        """Yield blocks of equal shape, in reading order, at most `batch` together."""
        group: list[tuple[int, Block]] = []
        for plane in range(self._reader.info.planes):
            for block in blocks:
                if group and (len(group) == batch or block.shape != group[-1][1].shape):
                    yield group
                    group = []
                group.append((plane, block))
        yield group

    def _read(self, plane: int, block: Block) -> Part:
        values = self._reader.read(plane, block.read)
        padding = self._reader.padding(plane)
        regions = None if self._regions is None else self._regions(plane)
        if block.read is not None:
            padding = padding[block.read.slices]
            if regions is not None:
                regions = Regions.from_labels(regions.crop(block.read))
        return Part(plane, block, values, padding, regions)

    def _write(self, part: Part, restored: RestoredBlock) -> None:
        self._partition += restored.partition_seconds
        self._network += restored.network_seconds
        self._counts.append(restored.regions)
        output, scale = restored.values / self._factor, self._task.scale
        if scale == 1:
            # What was not restored must not change by a rounding of the factor.
            same = restored.values == part.values * self._factor
            output = np.where(same, part.values, output)
            self._count_change(part, output)
        target = None if part.block.write is None else part.block.write.scaled(scale)
        inner = None if part.block.inner is None else part.block.inner.scaled(scale)
        self._outputs.restored.write(part.plane, _cut(output, inner), target)
        if self._outputs.residual is not None:
            change = np.where(np.isfinite(part.values), part.values - output, 0).astype(np.float32)
            self._outputs.residual.write(part.plane, _cut(change, inner), target)
        if self._outputs.uncertainty is not None:
            assert restored.deviation is not None
            deviation = restored.deviation / self._factor
            self._outputs.uncertainty.write(part.plane, _cut(deviation, inner), target)

    def _count_change(self, part: Part, output: FloatArray) -> None:
        seen = ~(part.padding | self._task.outside(part.values * self._factor))
        change = (output - part.values)[seen].astype(np.float64)
        self._pixels += change.size
        self._sum += float(change.sum())
        self._squares += float((change**2).sum())

    def summary(self, seconds: float) -> RestoreSummary:
        """Return what was counted, and the time of the whole."""
        pixels = max(1, self._pixels)
        mean = self._sum / pixels
        return RestoreSummary(
            planes=self._reader.info.planes,
            seconds=seconds,
            network_seconds=self._network,
            partition_seconds=self._partition,
            regions=float(np.mean(self._counts)),
            mean_change=mean,
            noise_removed=max(0.0, self._squares / pixels - mean**2) ** 0.5,
        )


def _cut(planes: FloatArray, box: Box | None) -> FloatArray:
    if box is None:
        return planes
    rows, columns = box.slices
    return planes[:, rows, columns]
