"""The pipe: a scan is read plane by plane, mapped, partitioned, restored, mapped back, written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np

from ratcli import __version__
from ratcli.errors import WeightsError
from ratcli.network.device import choose_device
from ratcli.network.engine import Engine, EngineSettings, load_engine
from ratcli.network.registry import WeightsEntry, find_weights
from ratcli.partition import Partitioner, get_partitioner
from ratcli.pipeline.kept_mean import keep_mean
from ratcli.pipeline.kept_residual import keep_residual
from ratcli.pipeline.run import Outputs, PlaneProgress, RegionsOf, ScanRun
from ratcli.pipeline.settings import RestoredBlock, RestoreSettings, RestoreSummary
from ratcli.pipeline.views import deviation_of, mean_of_views, over_neighbours
from ratcli.regions import LabelArray, Regions
from ratcli.scan import BoolArray, Derivation, FloatArray, ScanReader, ScanWriter
from ratcli.task import Task


class Restorer:
    """A network that is loaded, with all that goes around it; one for each process.

    Args:
        settings: how to restore.
        engine: the loaded network.
        entry: the weights it was made of. What the result keeps of the residual and of the mean
            is theirs, also if there are others.
        partitioner: labels planes.
        others: engines and weights whose results are averaged with the first one's. Of all
            weights, the largest numbers of the uncertainty count.
    """

    def __init__(
        self,
        settings: RestoreSettings,
        engine: Engine,
        entry: WeightsEntry,
        partitioner: Partitioner,
        others: Sequence[tuple[Engine, WeightsEntry]] = (),
    ) -> None:
        self.settings = settings
        self._engine = engine
        self._entry = entry
        self._partitioner = partitioner
        self._others = tuple(others)

    @classmethod
    def load(cls, settings: RestoreSettings, partitioner: Partitioner | None = None) -> Restorer:
        """Verify the weights and build the network.

        Args:
            settings: how to restore.
            partitioner: labels planes; None for that of the settings.

        Raises:
            WeightsError: missing, damaged, or of another task.
            DeviceError: no such device.
            UsageError: no such partition.
        """
        names = (settings.weights or settings.task.weights, *settings.beside)
        entries = [_entry_of(settings.task, name) for name in names]
        if settings.task.scale != 1 and (entries[0].residual_kept or entries[0].mean_kept_px):
            raise WeightsError(
                f"the registry tells what '{entries[0].name}' keeps of its input, but "
                f"{settings.task.name} makes a finer grid"
            )
        loaded = [(_load_engine(settings, entry), entry) for entry in entries]
        partitioner = partitioner or load_partitioner(settings)
        return cls(settings, *loaded[0], partitioner, loaded[1:])

    @property
    def _entries(self) -> list[WeightsEntry]:
        return [self._entry, *(entry for _, entry in self._others)]

    @property
    def _uncertainty_scale(self) -> float:
        """The factor of the weights; the largest of several, which were not measured together."""
        return max(entry.uncertainty_scale for entry in self._entries)

    @property
    def _uncertainty_floor(self) -> float:
        """What no spread tells, in the task's unit; the largest of several weights'."""
        return max(entry.uncertainty_floor for entry in self._entries)

    @property
    def _uncertainty_share(self) -> float:
        """The same as a share of the restored value; the largest of several weights'."""
        return max(entry.uncertainty_share for entry in self._entries)

    @property
    def device_name(self) -> str:
        """The device that the network runs on."""
        return self._engine.device_name

    def within(self, tile: int, batch: int) -> Restorer:
        """Return a restorer with the same network, for less memory.

        Args:
            tile: side of its tiles on the output's grid; 0 for whole planes.
            batch: most planes or tiles that go through the network together.
        """
        overlap = min(self.settings.tile_overlap, tile // 2) if tile else self.settings.tile_overlap
        settings = replace(self.settings, tile=tile, tile_overlap=overlap)
        others = [(engine.within(tile, batch), entry) for engine, entry in self._others]
        engine = self._engine.within(tile, batch)
        return Restorer(settings, engine, self._entry, self._partitioner, others)

    def derivation(self) -> Derivation:
        """Return what the writer of the restored scan records."""
        settings, entries = self.settings, self._entries
        several, kept = settings.views != 1, entries[0].residual_kept
        weights = " and ".join(f"{entry.name} (SHA-256 {entry.sha256})" for entry in entries)
        return Derivation(
            task=settings.task.name,
            description=(
                f"rat {__version__}, {settings.task.name}, weights {weights}, "
                f"strength {settings.strength:g}, regions by {self._partitioner.name}"
                f"{f', mean of {settings.views} views' if several else ''}"
            ),
            label=settings.task.label,
            method=settings.task.method,
            scale=settings.task.scale,
            version=__version__,
            weights_sha256=entries[0].sha256,
            settings=(
                settings.task.name,
                f"strength={settings.strength!r}",
                f"precision={settings.precision}",
                f"tile={settings.tile},{settings.tile_overlap}",
                *([f"views={settings.views}"] if several else []),
                *([f"mean_kept_px={entries[0].mean_kept_px!r}"] if entries[0].mean_kept_px else []),
                *([f"residual_kept={','.join(map(repr, astuple(kept)))}"] if kept else []),
                *(f"beside={entry.sha256}" for entry in entries[1:]),
                *self._partitioner.settings,
            ),
        )

    def residual_derivation(self) -> Derivation:
        """Return what the writer of input minus output records."""
        whole = self.derivation()
        return replace(
            whole,
            description=f"input minus output of: {whole.description}",
            label=f"{whole.label} residual",
            settings=(*whole.settings, "residual"),
        )

    def uncertainty_derivation(self) -> Derivation:
        """Return what the writer of the standard deviations records."""
        whole, scale, floor = self.derivation(), self._uncertainty_scale, self._uncertainty_floor
        share = self._uncertainty_share
        parts = [f"{floor:g} {self.settings.task.units[0]}"] if floor else []
        parts += [f"{share:g} of the value"] if share else []
        added = f" and {' and '.join(parts)} in quadrature" if parts else ""
        views = f"{self.settings.views} view{'s' if self.settings.views > 1 else ''}"
        weights = f" by each of {len(self._entries)} weights" if self._others else ""
        return replace(
            whole,
            description=(
                f"standard deviation of each pixel, from {views}{weights}, times {scale:g}"
                f"{added}: "
                f"{whole.description}"
            ),
            label=f"{whole.label} uncertainty",
            method="uncertainty",
            settings=(
                *whole.settings,
                f"uncertainty_scale={scale!r},{floor!r}{f',{share!r}' if share else ''}",
            ),
        )

    def restore(
        self,
        reader: ScanReader,
        writer: ScanWriter,
        *,
        regions: RegionsOf | None = None,
        residual: ScanWriter | None = None,
        uncertainty: ScanWriter | None = None,
        progress: PlaneProgress | None = None,
    ) -> RestoreSummary:
        """Restore every plane of a scan.

        Args:
            reader: the scan.
            writer: made from the reader; entered and closed by the caller.
            regions: gives the regions of a plane, on the input's grid, in place of the partitioner.
            residual: gets input minus output; for tasks that keep the grid.
            uncertainty: gets the standard deviation of each pixel; its `Derivation.method` is
                `uncertainty`. Needs several views or weights.
            progress: called after each step with the planes done and all planes.

        Raises:
            UnsuitableInputError: the scan is not what the task restores.
            UnreadableInputError: pixel data are damaged.
            OutputError: the output cannot be written.
            DeviceError: too little memory, even for the smallest tile.
            ValueError: an uncertainty is wanted of one view by one network.
        """
        task = self.settings.task
        if uncertainty is not None and self.settings.samples == 1:
            raise ValueError("an uncertainty needs several views or weights")
        check(task, reader)
        outputs = Outputs(writer, residual, uncertainty)
        run = ScanRun(task, reader, outputs, task.unit_factor(reader.info), regions)
        began = time.perf_counter()
        run.run(self, self._engine.batch, progress)
        return run.summary(time.perf_counter() - began)

    def restore_block(
        self, values: FloatArray, padding: BoolArray, regions: Regions | None = None
    ) -> RestoredBlock:
        """Restore one plane, or a block of one; see `restore_blocks`."""
        return self.restore_blocks([values], [padding], [regions])[0]

    def restore_blocks(
        self,
        values: Sequence[FloatArray],
        padding: Sequence[BoolArray],
        regions: Sequence[Regions | None],
    ) -> list[RestoredBlock]:
        """Restore planes, or blocks of planes, that are already in the task's first unit.

        Args:
            values: `(C, H, W)` each, of one shape.
            padding: `(H, W)` each, true where there is no measurement.
            regions: of each, or None to compute them.

        Returns:
            The restored blocks; padding and what is outside the task's window are unchanged.
        """
        task = self.settings.task
        low = np.float32(task.window[0])
        hidden = [pad | ~np.isfinite(x).all(0) for x, pad in zip(values, padding, strict=True)]
        normal = [
            task.normalise(np.where(hide, low, x)) for x, hide in zip(values, hidden, strict=True)
        ]
        began = time.perf_counter()
        labelled = [
            given or self._partitioner.partition(plane)
            for given, plane in zip(regions, normal, strict=True)
        ]
        partitioned = time.perf_counter()
        labels = [r.labels.repeat(task.scale, 0).repeat(task.scale, 1) for r in labelled]
        restored, variance = self._through_network(normal, labels)
        network = (time.perf_counter() - partitioned) / len(values)
        kept = [hide | task.outside(x) for x, hide in zip(values, hidden, strict=True)]
        return [
            RestoredBlock(
                self._native(values[i], kept[i], restored[i], normal[i]),
                labelled[i].count,
                (partitioned - began) / len(values),
                network,
                None if variance is None else self._deviation(kept[i], variance[i], restored[i]),
            )
            for i in range(len(values))
        ]

    def _through_network(
        self, planes: list[FloatArray], labels: list[LabelArray]
    ) -> tuple[list[FloatArray], list[FloatArray] | None]:
        """Return restored planes, and variances where there are several views or weights."""
        if self.settings.samples == 1:
            return self._engine.restore(planes, labels), None
        networks = [self._engine.restore, *(engine.restore for engine, _ in self._others)]
        return mean_of_views(networks, planes, labels, self.settings.views)

    def _native(
        self, values: FloatArray, kept: BoolArray, restored: FloatArray, normal: FloatArray
    ) -> FloatArray:
        """Blend, map back, and put back what may not change."""
        task, entry = self.settings.task, self._entry
        if entry.mean_kept_px:
            restored = keep_mean(normal, restored, ~kept, entry.mean_kept_px)
        if entry.residual_kept:
            restored = keep_residual(normal, restored, ~kept, entry.residual_kept, task.gain)
        if self.settings.strength != 1:
            restored = self._blend(normal, restored)
        native = task.denormalise(restored)
        return native if task.scale != 1 else np.where(kept, values, native).astype(np.float32)

    def _deviation(self, kept: BoolArray, variance: FloatArray, restored: FloatArray) -> FloatArray:
        """Return calibrated deviations in the task's unit; 0 where nothing changes."""
        task, settings = self.settings.task, self.settings
        spread = task.gain * self._uncertainty_scale * deviation_of(variance, task.scale)
        floor: float | FloatArray = self._uncertainty_floor
        if self._uncertainty_share:
            level = over_neighbours(task.denormalise(restored), task.scale)
            floor = np.hypot(floor, self._uncertainty_share * level)
        whole = settings.strength * np.hypot(spread, floor)
        deviation: FloatArray = whole.astype(np.float32)
        return deviation if task.scale != 1 else np.where(kept, np.float32(0), deviation)

    def _blend(self, normal: FloatArray, restored: FloatArray) -> FloatArray:
        enlarged = self._engine.enlarge(normal)
        share = np.float32(self.settings.strength)
        blended: FloatArray = enlarged + share * (restored - enlarged)
        return blended


def _entry_of(task: Task, name: str) -> WeightsEntry:
    entry = find_weights(name)
    if entry.task != task.name:
        raise WeightsError(f"the weights '{entry.name}' are for {entry.task}, not {task.name}")
    return entry


def _load_engine(settings: RestoreSettings, entry: WeightsEntry) -> Engine:
    return load_engine(
        entry,
        EngineSettings(
            settings.device,
            settings.threads,
            settings.precision,
            settings.tile,
            settings.tile_overlap,
            settings.batch,
            settings.compile,
        ),
    )


def load_partitioner(settings: RestoreSettings) -> Partitioner:
    """Return the partitioner that settings name, on their device where it is a network.

    Raises:
        WeightsError: those it needs are missing or damaged.
        DeviceError: no such device.
        UsageError: no such partition.
    """
    name = settings.partition or settings.task.partition
    if not name.startswith("sam-"):
        return get_partitioner(name)
    device = choose_device(settings.device, settings.threads)
    return get_partitioner(name, device=str(device))


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
