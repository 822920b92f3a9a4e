"""The pipe: a scan is read plane by plane, mapped, partitioned, restored, mapped back, written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ratcli import __version__
from ratcli.errors import UnsuitableInputError, UsageError, WeightsError
from ratcli.network.engine import Engine, EngineSettings, load_engine
from ratcli.network.registry import WeightsEntry, find_weights
from ratcli.partition import Partitioner, get_partitioner
from ratcli.regions import Regions
from ratcli.scan import BoolArray, Box, Derivation, FloatArray, ScanReader, ScanWriter
from ratcli.task import Task

# Planes with more pixels are restored block by block: read, partitioned and written in boxes.
BLOCK_ABOVE_PIXELS = 4096 * 4096
BLOCK_SIDE = 1024
BLOCK_MARGIN = 64

PlaneProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class RestoreSettings:
    """What decides how scans are restored.

    Attributes:
        task: the task.
        partition: name of the partitioner; empty for the task's default.
        weights: name of the weights; empty for the task's default.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        strength: 0 gives the input back, 1 the restored scan.
        precision: `fp32` or `bf16`.
        tile: side of the tiles in pixels; 0 for whole planes.
        tile_overlap: pixels that neighbouring tiles share.
        threads: CPU threads; 0 for torch's choice.
    """

    task: Task
    partition: str = ""
    weights: str = ""
    device: str = "auto"
    strength: float = 1.0
    precision: str = "fp32"
    tile: int = 0
    tile_overlap: int = 64
    threads: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength must be from 0 to 1, not {self.strength:g}")
        if self.precision not in ("fp32", "bf16"):
            raise UsageError(f"precision must be fp32 or bf16, not '{self.precision}'")
        if self.tile and not 0 <= self.tile_overlap < self.tile:
            raise UsageError(
                f"tiles of {self.tile} pixels cannot overlap by {self.tile_overlap} pixels"
            )


@dataclass(frozen=True)
class RestoreSummary:
    """What became of a scan.

    Attributes:
        planes: planes restored.
        seconds: time for the whole scan.
        network_seconds: time in the network alone.
        partition_seconds: time in the partitioner alone.
        regions: mean number of regions of a plane.
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


class Restorer:
    """A network that is loaded, with all that goes around it; one for each process.

    Args:
        settings: how to restore.
        engine: the loaded network.
        entry: the weights it was made of.
        partitioner: labels planes.
    """

    def __init__(
        self,
        settings: RestoreSettings,
        engine: Engine,
        entry: WeightsEntry,
        partitioner: Partitioner,
    ) -> None:
        self.settings = settings
        self._engine = engine
        self._entry = entry
        self._partitioner = partitioner

    @classmethod
    def load(cls, settings: RestoreSettings) -> Restorer:
        """Verify the weights and build the network.

        Raises:
            WeightsError: missing, damaged, or of another task.
            DeviceError: no such device.
            UsageError: no such partition.
        """
        task = settings.task
        partitioner = get_partitioner(settings.partition or task.partition)
        entry = find_weights(settings.weights or task.weights)
        if entry.task != task.name:
            raise WeightsError(f"the weights '{entry.name}' are for {entry.task}, not {task.name}")
        engine = load_engine(
            entry,
            EngineSettings(
                settings.device,
                settings.threads,
                settings.precision,
                settings.tile,
                settings.tile_overlap,
            ),
        )
        return cls(settings, engine, entry, partitioner)

    @property
    def device_name(self) -> str:
        """The device that the network runs on."""
        return self._engine.device_name

    def derivation(self) -> Derivation:
        """Return what the writers record."""
        settings, entry = self.settings, self._entry
        return Derivation(
            task=settings.task.name,
            description=(
                f"rat {__version__}, {settings.task.name}, weights {entry.name} "
                f"(SHA-256 {entry.sha256}), strength {settings.strength:g}, "
                f"regions by {self._partitioner.name}"
            ),
            label=settings.task.label,
            method=settings.task.method,
            scale=settings.task.scale,
            version=__version__,
            weights_sha256=entry.sha256,
            settings=(
                settings.task.name,
                f"strength={settings.strength!r}",
                f"precision={settings.precision}",
                f"tile={settings.tile},{settings.tile_overlap}",
                *self._partitioner.settings,
            ),
        )

    def restore(
        self,
        reader: ScanReader,
        writer: ScanWriter,
        *,
        regions: Callable[[int], Regions] | None = None,
        residual: ScanWriter | None = None,
        progress: PlaneProgress | None = None,
    ) -> RestoreSummary:
        """Restore every plane of a scan.

        Args:
            reader: the scan.
            writer: made from the reader; entered and closed by the caller.
            regions: gives the regions of a plane, on the input's grid, in place of the partitioner.
            residual: gets input minus output; for tasks that keep the grid.
            progress: called after each plane with the planes done and all planes.

        Raises:
            UnsuitableInputError: the scan is not what the task restores.
            UnreadableInputError: pixel data are damaged.
            OutputError: the output cannot be written.
            DeviceError: too little memory, even for the smallest tile.
        """
        check(self.settings.task, reader)
        run = _Run(self, unit_factor(self.settings.task, reader), regions)
        began = time.perf_counter()
        planes = reader.info.planes
        for plane in range(planes):
            for box in _blocks(reader, self.settings.task):
                run.one(reader, plane, box, writer, residual)
            if progress is not None:
                progress(plane + 1, planes)
        return run.summary(planes, time.perf_counter() - began)

    def restore_block(
        self, values: FloatArray, padding: BoolArray, regions: Regions | None = None
    ) -> RestoredBlock:
        """Restore one plane, or a block of one, that is already in the task's first unit.

        Args:
            values: `(C, H, W)`.
            padding: `(H, W)`, true where there is no measurement.
            regions: `(H, W)`; None to compute them.

        Returns:
            The restored block; padding and what is outside the task's window are unchanged.
        """
        task = self.settings.task
        hidden = padding | ~np.isfinite(values)
        low = np.float32(task.window[0])
        normal = task.normalise(np.where(hidden, low, values).astype(np.float32))
        began = time.perf_counter()
        regions = regions or self._partitioner.partition(normal)
        partitioned = time.perf_counter()
        labels = regions.labels.repeat(task.scale, 0).repeat(task.scale, 1)
        restored = self._engine.restore(normal, labels)
        ended = time.perf_counter()
        if self.settings.strength != 1:
            restored = self._blend(normal, restored)
        native = task.denormalise(restored)
        if task.scale == 1:
            kept = hidden | task.outside(values)
            native = np.where(kept, values, native).astype(np.float32)
        return RestoredBlock(native, regions.count, partitioned - began, ended - partitioned)

    def _blend(self, normal: FloatArray, restored: FloatArray) -> FloatArray:
        enlarged = self._engine.enlarge(normal)
        return enlarged + np.float32(self.settings.strength) * (restored - enlarged)


@dataclass(frozen=True)
class RestoredBlock:
    """A restored plane or block.

    Attributes:
        values: `(C, s*H, s*W)` in the task's first unit.
        regions: regions it was restored in.
        partition_seconds: time in the partitioner.
        network_seconds: time in the network.
    """

    values: FloatArray
    regions: int
    partition_seconds: float
    network_seconds: float


class _Run:
    """One scan on its way through a restorer, and what is counted meanwhile."""

    def __init__(
        self, restorer: Restorer, factor: float, regions: Callable[[int], Regions] | None
    ) -> None:
        self._restorer = restorer
        self._factor = np.float32(factor)
        self._regions = regions
        self._network = self._partition = 0.0
        self._counts: list[int] = []
        self._pixels, self._sum, self._squares = 0, 0.0, 0.0

    def one(
        self,
        reader: ScanReader,
        plane: int,
        block: _Block,
        writer: ScanWriter,
        residual: ScanWriter | None,
    ) -> None:
        """Restore a plane, or a block of it, and write it."""
        values = reader.read(plane, block.read)
        padding = reader.padding(plane)
        if block.read is not None:
            padding = padding[block.read.slices]
        regions = self._given(plane, block)
        done = self._restorer.restore_block(values * self._factor, padding, regions)
        self._partition += done.partition_seconds
        self._network += done.network_seconds
        self._counts.append(done.regions)
        output = done.values / self._factor
        scale = self._restorer.settings.task.scale
        if scale == 1:
            # What was not restored must not change by a rounding of the factor.
            output = np.where(done.values == values * self._factor, values, output)
            self._count_change(values, padding, output)
        target = block.write.scaled(scale) if block.write is not None else None
        inner = block.inner.scaled(scale) if block.inner is not None else None
        writer.write(plane, _cut(output, inner), target)
        if residual is not None:
            difference = np.where(np.isfinite(values), values - output, 0).astype(np.float32)
            residual.write(plane, _cut(difference, inner), target)

    def _given(self, plane: int, block: _Block) -> Regions | None:
        if self._regions is None:
            return None
        regions = self._regions(plane)
        if block.read is None:
            return regions
        return Regions.from_labels(regions.crop(block.read))

    def _count_change(self, values: FloatArray, padding: BoolArray, output: FloatArray) -> None:
        seen = ~(padding | self._restorer.settings.task.outside(values * self._factor))
        change = (output - values)[seen].astype(np.float64)
        self._pixels += change.size
        self._sum += float(change.sum())
        self._squares += float((change**2).sum())

    def summary(self, planes: int, seconds: float) -> RestoreSummary:
        """Return what was counted."""
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


def _cut(planes: FloatArray, box: Box | None) -> FloatArray:
    if box is None:
        return planes
    rows, columns = box.slices
    return planes[:, rows, columns]


@dataclass(frozen=True)
class _Block:
    """A part of a plane: what is read, where it is written, and which part of what was read."""

    read: Box | None = None
    write: Box | None = None
    inner: Box | None = None


def _blocks(reader: ScanReader, task: Task) -> list[_Block]:
    """Return one block for the whole plane, or many with margins where it is too large for that."""
    height, width = reader.info.height, reader.info.width
    if height * width * task.scale**2 <= BLOCK_ABOVE_PIXELS:
        return [_Block()]
    side = max(BLOCK_MARGIN, BLOCK_SIDE // task.scale)
    blocks = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            write = Box(top, left, min(side, height - top), min(side, width - left))
            blocks.append(_with_margin(write, height, width))
    return blocks


def _with_margin(write: Box, height: int, width: int) -> _Block:
    top, left = max(0, write.top - BLOCK_MARGIN), max(0, write.left - BLOCK_MARGIN)
    bottom = min(height, write.top + write.height + BLOCK_MARGIN)
    right = min(width, write.left + write.width + BLOCK_MARGIN)
    read = Box(top, left, bottom - top, right - left)
    inner = Box(write.top - top, write.left - left, write.height, write.width)
    return _Block(read, write, inner)


def check(task: Task, reader: ScanReader) -> None:
    """Refuse a scan that the task is not for, before any weights load.

    Where the format does not tell the unit, the values of the middle plane must be plausible.

    Raises:
        UnsuitableInputError: other modality, unit, channels or range.
        UnreadableInputError: pixel data are damaged.
    """
    info = reader.info
    task.check(info)
    if info.unit is None:
        task.check_values(reader.read(info.planes // 2))


def unit_factor(task: Task, reader: ScanReader) -> float:
    """Return what the scan's values are multiplied by to be in the task's first unit.

    Raises:
        UnsuitableInputError: activity whose headers lack what SUV needs.
    """
    unit = reader.info.unit
    if unit is None or unit == task.units[0]:
        return 1.0
    factor = getattr(reader, "suv_factor", None)
    if factor is None:
        raise UnsuitableInputError(
            f"values are in {unit}, and the headers lack weight, dose or times that "
            f"{task.units[0]} needs"
        )
    return float(factor)
