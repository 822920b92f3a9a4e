"""A model: the networks of a restoration, loaded, and all that is done to a plane around them.

A plane is normalised (mapped to the network's values), partitioned, restored, blended with the
input, and mapped back to the task's unit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeVar

import numpy as np

from ratcli.adjacent import Adjacent, adjacent_planes
from ratcli.errors import WeightsError
from ratcli.network.device import choose_device
from ratcli.network.engine import Engine, load_engine
from ratcli.network.neighbours import Neighbours
from ratcli.network.registry import WeightsEntry, find_weights
from ratcli.network.tiles import Heard, Steps, nobody
from ratcli.partition import Partitioner, get_partitioner
from ratcli.pipeline.consistent import make_consistent
from ratcli.pipeline.cutting import Cut
from ratcli.pipeline.kept_mean import keep_mean
from ratcli.pipeline.kept_residual import keep_residual
from ratcli.pipeline.prepared import PreparedPlane, ReadPlane, enlarged, prepare, with_holes
from ratcli.pipeline.provenance import RestoreProvenance
from ratcli.pipeline.settings import RestoreSettings
from ratcli.pipeline.uncertainty import Calibration
from ratcli.pipeline.views import RunningMean, turn, turn_back
from ratcli.regions import Regions
from ratcli.scan import BoolArray, FloatArray, ScanInfo
from ratcli.task import Task

_Sample = TypeVar("_Sample", bound=np.generic)


@dataclass(frozen=True)
class RestoredPlane:
    """A restored plane, or a pane of one.

    Attributes:
        values: `(C, s*H, s*W)` in the task's first unit.
        regions: number of regions it was restored in.
        partition_seconds: time in the partitioner.
        network_seconds: time in the network.
        uncertainty: standard deviation of each value, of the same shape and unit; None if it was
            restored only once.
    """

    values: FloatArray
    regions: int
    partition_seconds: float
    network_seconds: float
    uncertainty: FloatArray | None = None


class Model:
    """Loaded networks and what goes around them; one for each process.

    Args:
        settings: how to restore.
        engines: the loaded networks. Their results are averaged.
        entries: the weights of each. The first ones decide what a result keeps of the residual and
            the mean. Of the numbers of the uncertainty, the largest count.
        partitioner: labels planes.
    """

    def __init__(
        self,
        settings: RestoreSettings,
        engines: Sequence[Engine],
        entries: Sequence[WeightsEntry],
        partitioner: Partitioner,
    ) -> None:
        self.settings = settings
        self._engines = tuple(engines)
        self._entries = tuple(entries)
        self._partitioner = partitioner
        self._calibration = Calibration.of(entries)

    @classmethod
    def load(cls, settings: RestoreSettings, partitioner: Partitioner | None = None) -> Model:
        """Verify the weights and build the networks.

        Args:
            settings: how to restore.
            partitioner: labels planes; None for that of the settings.

        Raises:
            WeightsError: missing, damaged, or of another task.
            DeviceError: no such device.
            UsageError: no such partition.
        """
        entries = [_entry_of(settings.task, name) for name in settings.weights_names]
        engines = [load_engine(entry, settings.engine) for entry in entries]
        used = replace(settings.engine, precision=engines[0].precision)
        settings = replace(settings, engine=used)
        return cls(settings, engines, entries, partitioner or load_partitioner(settings))

    @property
    def device_name(self) -> str:
        """The device that the networks run on."""
        return self._engines[0].device_name

    @property
    def batch(self) -> int:
        """Planes or panes that go through a network together."""
        return self._engines[0].batch

    def adjacent(self, info: ScanInfo) -> list[tuple[Adjacent | None, ...]]:
        """Return for each plane of a scan the neighbours from which it is restored, too."""
        unused = self.settings.context == "none"
        reach = 0 if unused else max(engine.context for engine in self._engines)
        return adjacent_planes(info.positions_mm or [None] * info.planes, reach)

    def within(self, pane: int, batch: int) -> Model:
        """Return a model of the same networks that takes less memory.

        Args:
            pane: side of the panes on the output's grid; 0 for whole planes.
            batch: most planes or panes that go through a network together.
        """
        engines = [engine.with_batch(batch) for engine in self._engines]
        settings = replace(self.settings, pane=pane)
        return Model(settings, engines, self._entries, self._partitioner)

    def with_strength(self, strength: float) -> Model:
        """Return a model of the same networks that applies another share of the restoration."""
        settings = replace(self.settings, strength=strength)
        return Model(settings, self._engines, self._entries, self._partitioner)

    def cut(self, info: ScanInfo) -> Cut:
        """Return how the planes of a scan are cut."""
        settings = self.settings
        return Cut.of(info, settings.task.scale, settings.pane, settings.pane_overlap)

    def provenance(self, info: ScanInfo) -> RestoreProvenance:
        """Return what the writers of a scan record."""
        seen = max(1 + sum(map(bool, near)) for near in self.adjacent(info))
        return RestoreProvenance(
            self.settings, self._entries, self._partitioner, self.cut(info), seen
        )

    def restore(
        self,
        values: Sequence[FloatArray],
        padding: Sequence[BoolArray],
        regions: Sequence[Regions | None] | None = None,
        neighbours: Sequence[Neighbours] | None = None,
        outer: Sequence[BoolArray | None] | None = None,
        heard: Heard = nobody,
    ) -> list[RestoredPlane]:
        """Restore planes, or panes of planes, in the task's first unit.

        Args:
            values: `(C, H, W)` each, of one shape.
            padding: `(H, W)` each, true where there is no measurement.
            regions: of each, or None to compute them.
            neighbours: planes beside each, in the task's first unit; None if there are none.
            outer: of panes, where padding surrounds the object; see `ReadPlane`.
            heard: called with the share of the work that is done.

        Returns:
            The restored planes. Padding and what is outside the task's window are unchanged.

        Raises:
            DeviceError: too little memory, even for the smallest tile.
        """
        planes = self._prepared(values, padding, regions, neighbours, outer)
        began, samples = time.perf_counter(), RunningMean()
        steps = Steps(self.settings.views * len(self._engines), heard)
        for view, engine in product(range(self.settings.views), self._engines):
            restored = engine.restore(
                [turn(engine.seen(plane.normal, plane.neighbours), view) for plane in planes],
                [turn(plane.labels, view) for plane in planes],
                steps.within,
            )
            steps.step(1.0)
            samples.add([turn_back(plane, view) for plane in restored])
        seconds = (time.perf_counter() - began) / len(planes)
        return [self._finished(plane, samples, n, seconds) for n, plane in enumerate(planes)]

    def _prepared(
        self,
        values: Sequence[FloatArray],
        padding: Sequence[BoolArray],
        regions: Sequence[Regions | None] | None,
        neighbours: Sequence[Neighbours] | None,
        outer: Sequence[BoolArray | None] | None,
    ) -> list[PreparedPlane]:
        """Return planes as the networks see them; see `restore`."""
        none = [None] * len(values)
        near = neighbours or [()] * len(values)
        parts = zip(values, padding, regions or none, near, outer or none, strict=True)
        return [prepare(self.settings.task, self._partitioner, ReadPlane(*part)) for part in parts]

    def _finished(
        self, plane: PreparedPlane, samples: RunningMean, index: int, seconds: float
    ) -> RestoredPlane:
        return RestoredPlane(
            self._native(plane, samples.means[index]),
            plane.regions,
            plane.partition_seconds,
            seconds,
            self._uncertainty(plane, samples, index),
        )

    def _native(self, plane: PreparedPlane, restored: FloatArray) -> FloatArray:
        """Keep what the weights ask for, blend, map back, and put back what may not change."""
        task, entry, normal = self.settings.task, self._entries[0], plane.normal
        if entry.mean_kept_px:
            restored = keep_mean(normal, restored, ~plane.kept, entry.mean_kept_px)
        if entry.consistent_below and task.scale != 1:
            restored = make_consistent(normal, restored, entry.consistent_below / task.gain)
        if entry.residual_kept:
            restored = keep_residual(normal, restored, ~plane.kept, entry.residual_kept, task.gain)
        if self.settings.strength != 1:
            enlarged = self._engines[0].enlarge(normal)
            restored = enlarged + np.float32(self.settings.strength) * (restored - enlarged)
        native = task.denormalise(restored)
        if task.scale != 1:
            return with_holes(plane, native, task.scale)
        return np.where(plane.kept, plane.values, native).astype(np.float32)

    def _uncertainty(
        self, plane: PreparedPlane, samples: RunningMean, index: int
    ) -> FloatArray | None:
        """Return standard deviations in the task's first unit; 0 where nothing changes."""
        task, variances = self.settings.task, samples.variances
        if variances is None:
            return None
        whole = self._calibration.uncertainty(task, variances[index], samples.means[index])
        deviation: FloatArray = (self.settings.strength * whole).astype(np.float32)
        kept = plane.kept if task.scale == 1 else enlarged(plane.hidden, task.scale)
        return np.where(kept, np.float32(0), deviation)


def load_partitioner(settings: RestoreSettings) -> Partitioner:
    """Return the partitioner that settings name, on their device if it is a network.

    Raises:
        WeightsError: those it needs are missing or damaged.
        DeviceError: no such device.
        UsageError: no such partition.
    """
    name = settings.partition_name
    if not name.startswith("sam-"):
        return get_partitioner(name)
    device = choose_device(settings.engine.device, settings.engine.threads)
    return get_partitioner(name, device=str(device))


def _entry_of(task: Task, name: str) -> WeightsEntry:
    entry = find_weights(name)
    if entry.task != task.name:
        raise WeightsError(f"the weights '{entry.name}' are for {entry.task}, not {task.name}")
    if task.scale != 1 and entry.residual_kept:
        raise WeightsError(
            f"the registry names residual_kept for '{entry.name}', but {task.name} makes a finer "
            "grid, on which input and output cannot be compared pixel by pixel"
        )
    return entry
