"""Finding regions as a kind of work for a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ratcli import __version__
from ratcli.batch.choosing import TaskChoice
from ratcli.batch.memory import check_regions
from ratcli.batch.outcome import Fact
from ratcli.batch.plan import Job
from ratcli.batch.region_extras import Previews, RegionStatistics
from ratcli.batch.stream import ReadAhead
from ratcli.batch.work import PendingOutput, PlaneProgress, ScanWork
from ratcli.formats import split_name
from ratcli.formats.regions import create_regions
from ratcli.partition import Partitioner, get_partitioner
from ratcli.partition.cache import CachedPartitioner
from ratcli.partition.propagate import Propagator
from ratcli.pipeline import check
from ratcli.pipeline.object_window import refuse_outside_window
from ratcli.regions import Regions
from ratcli.scan import Derivation, FloatArray, ScanReader
from ratcli.task import Task
from ratcli.tasks import TASKS, get_task


@dataclass(frozen=True, kw_only=True)
class SegmentWork(ScanWork):
    """Find the regions of scans.

    Attributes:
        partition: name of the partitioner; empty for that of the task.
        task: name of the task that maps the values for the partitioner; None for the one that
            fits the scan.
        kind: format of the region maps; None for the scan's own.
        device: where a network runs.
        threads: CPU threads; 0 for all.
        cache: folder of partitions that were computed before, or None.
        propagate: whether a region keeps its number from plane to plane.
        preview: whether pictures are drawn beside the output.
        table: whether a table is written beside the output.
        memory_bytes: limit that a scan has to fit into; 0 for none.
    """

    partition: str = ""
    task: str | None = None
    kind: str | None = None
    device: str = "auto"
    threads: int = 0
    cache: Path | None = None
    propagate: bool = False
    preview: bool = False
    table: bool = False
    memory_bytes: int = 0

    def check(self, reader: ScanReader) -> None:
        """Refuse a scan that no task is for; see `ScanWork.check`."""
        task = self.task_of(reader)
        check(task, reader)
        if not self.any_values:
            refuse_outside_window(task, reader)
        if self.memory_bytes:
            has_network = self.partition_of(reader).startswith("sam-")
            check_regions(
                self.memory_bytes, reader.info, is_drawn=self.preview, has_network=has_network
            )

    def task_of(self, reader: ScanReader) -> Task:
        """Return the task that maps the values of a scan for the partitioner.

        Raises:
            UnsuitableInputError: no task fits.
            UsageError: the scan does not tell which task fits.
        """
        tasks = TASKS.values() if self.task is None else (get_task(self.task),)
        return TaskChoice(tuple(tasks)).task_of(reader)

    def partition_of(self, reader: ScanReader) -> str:
        """Return the name of the partitioner for a scan: without another one, that of its task."""
        return self.partition or self.task_of(reader).partition

    def beside(self, output: Path) -> tuple[Path, ...]:
        """Return what may be written beside a region map."""
        stem = split_name(output)[0]
        names = [f"{stem}_preview.png", f"{stem}_preview"] if self.preview else []
        names += [f"{stem}.csv"] if self.table else []
        return tuple(output.with_name(name) for name in names)

    def load(self) -> SegmentWorker:
        """Load the partitioner that was named; see `Work.load`."""
        worker = SegmentWorker(self)
        if self.partition:
            worker.partitioner(self.partition)
        return worker


class LabelledPlane(NamedTuple):
    """A plane `(C, H, W)` in the task's first unit and in the network's, and its regions."""

    values: FloatArray
    normal: FloatArray
    regions: Regions


def labelled_planes(
    reader: ScanReader | ReadAhead, task: Task, partitioner: Partitioner
) -> Iterator[LabelledPlane]:
    """Find the regions of each plane. Padding gets the lowest value of the task's window.

    Raises:
        UnsuitableInputError: the header does not have what SUV needs.
        UnreadableInputError: pixel data are damaged.
    """
    factor = np.float32(task.unit_factor(reader.info))
    for plane in range(reader.info.planes):
        values = reader.read(plane) * factor
        values[:, reader.padding(plane)] = task.window[0]
        normal = task.normalise(values)
        yield LabelledPlane(values, normal, partitioner.partition(normal))


class SegmentWorker:
    """The partitioners that were needed so far, and what becomes of their regions.

    Args:
        work: settings.
    """

    def __init__(self, work: SegmentWork) -> None:
        self._work = work
        self._loaded: dict[str, Partitioner] = {}

    def partitioner(self, name: str) -> Partitioner:
        """Return a partitioner, loaded once."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Partitioner:
        options: dict[str, Any] = {}
        if name.startswith("sam-"):
            from ratcli.network.device import choose_device

            options["device"] = str(choose_device(self._work.device, self._work.threads))
        made = get_partitioner(name, **options)
        return made if self._work.cache is None else CachedPartitioner(made, self._work.cache)

    def run(self, job: Job, reader: ReadAhead, progress: PlaneProgress) -> PendingOutput:
        """Find the regions of a scan; see `Worker.run`."""
        task = self._work.task_of(reader)
        partitioner = self.partitioner(self._work.partition_of(reader))
        planes, counts = reader.info.planes, []
        follow = Propagator().follow if self._work.propagate else None
        with ExitStack() as stack:
            writer = stack.enter_context(
                create_regions(
                    reader.inner,
                    job.output,
                    self._derivation(partitioner),
                    kind=self._work.kind,
                    overwrite=job.overwrite,
                )
            )
            extras = self._extras(job, reader)
            for extra in extras:
                stack.enter_context(extra)
            for plane, found in enumerate(labelled_planes(reader, task, partitioner)):
                labels = follow(found.regions.labels) if follow else found.regions.labels
                writer.write(plane, labels)
                for extra in extras:
                    extra.add(plane, found.values, found.normal, labels)
                counts.append(found.regions.count)
                progress(plane + 1, planes)
            facts: dict[str, Fact] = {
                "planes": planes,
                "regions": float(f"{np.mean(counts):.4g}"),
                "partition": partitioner.name,
            }
            return PendingOutput(facts, stack.pop_all())

    def _extras(self, job: Job, reader: ReadAhead) -> list[Previews | RegionStatistics]:
        extras: list[Previews | RegionStatistics] = []
        stem = split_name(job.output)[0]
        if self._work.preview:
            extras.append(Previews(job.output, stem, reader.info.planes, job.overwrite))
        if self._work.table:
            unit = self._work.task_of(reader).units[0]
            path = job.output.with_name(f"{stem}.csv")
            extras.append(RegionStatistics(path, reader.info, unit, job.overwrite))
        return extras

    def _derivation(self, partitioner: Partitioner) -> Derivation:
        settings = partitioner.settings
        weights = [s.removeprefix("weights=") for s in settings if s.startswith("weights=")]
        return Derivation(
            task="segment",
            description=f"rat {__version__}, regions by {partitioner.name}",
            label=f"Regions by {partitioner.name}",
            version=__version__,
            weights_sha256=weights[0] if weights else "",
            settings=(*settings, f"propagate={self._work.propagate}"),
        )
