"""Restoring scans of several tasks in one batch, each by the task that was found for it."""

from __future__ import annotations

from dataclasses import dataclass

from ratcli.batch.choosing import found_task
from ratcli.batch.plan import Job
from ratcli.batch.restoring import RestoreWork, RestoreWorker
from ratcli.batch.stream import ReadAhead
from ratcli.batch.work import PendingOutput, PlaneProgress
from ratcli.scan import ScanReader


@dataclass(frozen=True)
class WorkByTask:
    """Restore scans whose tasks were found.

    Attributes:
        works: how to restore, for each task.
    """

    works: tuple[RestoreWork, ...]

    def of(self, job: Job) -> RestoreWork:
        """Return how the scan of a job is restored."""
        return next(work for work in self.works if work.settings.task == job.task)

    def open(self, job: Job) -> ScanReader:
        """Open a scan for its task; see `Work.open`."""
        return self.of(job).open(job)

    def load(self) -> WorkerByTask:
        """Return what loads the network of each task at its first scan; see `Work.load`."""
        return WorkerByTask(self)


class WorkerByTask:
    """The models that were needed so far.

    Args:
        work: what to do.
    """

    def __init__(self, work: WorkByTask) -> None:
        self._work = work
        self._loaded: dict[RestoreWork, RestoreWorker] = {}

    def run(self, job: Job, reader: ReadAhead, progress: PlaneProgress) -> PendingOutput:
        """Restore a scan, and tell its task; see `Worker.run`."""
        work = self._work.of(job)
        if work not in self._loaded:
            self._loaded[work] = work.load()
        pending = self._loaded[work].run(job, reader, progress)
        pending.facts = {"task": found_task(work.settings.task, reader.info), **pending.facts}
        return pending
