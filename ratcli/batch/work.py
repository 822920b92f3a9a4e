"""What a batch does with each scan: restoring is one kind of work, and there are others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from ratcli.batch.outcome import Fact
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead
from ratcli.errors import RatError
from ratcli.formats import AS_THE_FILE_SAYS, Reading
from ratcli.scan import ScanReader

PlaneProgress = Callable[[float, int], None]
"""Called with the planes that are done and all planes."""


class PendingOutput:
    """An output that is computed; some of its planes may not be on the disk yet.

    Args:
        facts: figures about the work.
        writers: closes the writers.
    """

    def __init__(self, facts: Mapping[str, Fact], writers: ExitStack) -> None:
        self.facts = facts
        self._writers = writers

    def commit(self) -> None:
        """Close the writers: the outputs get their final names.

        Raises:
            OutputError: an output cannot be written.
        """
        self._writers.close()


class Worker(Protocol):
    """Work that is loaded: one for each process."""

    def run(self, job: Job, reader: ReadAhead, progress: PlaneProgress) -> PendingOutput:
        """Compute one output.

        Raises:
            RatError: this scan cannot be worked on; others may.
        """


class Work(Hashable, Protocol):
    """A kind of work and its settings: frozen, hashable, and able to travel to a process."""

    def open(self, job: Job) -> ScanReader:
        """Open a job's scan and refuse what the work is not for; headers are enough.

        Raises:
            RatError: unreadable or unsuitable.
        """

    def load(self) -> Worker:
        """Load what all scans need, once for each process.

        Raises:
            WeightsError: the weights are missing or damaged.
            DeviceError: the device is missing.
        """


@dataclass(frozen=True, kw_only=True)
class ScanWork:
    """Work on the scan of each job, read as the user says; see `Work`.

    Attributes:
        reading: what the user says about the scans.
        any_values: whether a scan is accepted that lies outside the task's window.
    """

    reading: Reading = AS_THE_FILE_SAYS
    any_values: bool = False

    def open(self, job: Job) -> ScanReader:
        """Open a scan and refuse one that the work is not for; see `Work.open`."""
        reader = self.reading.open(job.source)
        try:
            self.check(reader)
        except BaseException as error:
            if isinstance(error, RatError):
                error.notices = job.notices(reader.info)
            reader.__exit__(None, None, None)
            raise
        return reader

    def check(self, reader: ScanReader) -> None:
        """Refuse a scan that the work is not for.

        Raises:
            RatError: it is not.
        """
