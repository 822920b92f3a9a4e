"""Working through jobs in this process: reading ahead, computing, writing behind."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

from typing_extensions import Self

from ratcli.batch.claim import BusyError, claimed
from ratcli.batch.digest import output_digest
from ratcli.batch.outcome import Outcome, Status
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead
from ratcli.batch.work import PendingOutput, PlaneProgress, Work, Worker

AHEAD = 2
"""Scans that are opened before their turn, and outputs that may wait for the disk."""

Finish = Callable[[], Outcome]


@dataclass(frozen=True)
class RunSettings:
    """How jobs are worked through.

    Attributes:
        digests: whether inputs and outputs are hashed.
        fail_fast: whether the first failure ends the run.
    """

    digests: bool = False
    fail_fast: bool = False


class Listener(Protocol):
    """Whoever wants to know how a batch goes; called from one thread."""

    def check(self) -> None:
        """Raise KeyboardInterrupt if the work is to end; called where it can be left."""

    def planes(self, name: str, done: int, total: int) -> None:
        """Tell how far one scan has come."""

    def finished(self, outcome: Outcome) -> None:
        """Tell what became of one scan."""


@dataclass(frozen=True)
class Opened:
    """A scan whose headers are read and whose first planes are on their way."""

    reader: ReadAhead
    digest: str

    def close(self) -> None:
        """Close the scan."""
        self.reader.__exit__(None, None, None)


class Runner:
    """Works through jobs in this process; loads the work at the first job that needs it.

    Args:
        work: what to do with each scan.
        settings: how.
    """

    def __init__(self, work: Work, settings: RunSettings) -> None:
        self._work = work
        self._settings = settings
        self._worker: Worker | None = None

    def run(self, jobs: Iterable[Job], listener: Listener) -> None:
        """Work through jobs; a scan that fails does not stop the others.

        While one is computed, the next ones are opened and the last ones written.

        Raises:
            WeightsError: the weights are missing or damaged.
            DeviceError: the device is missing.
        """
        with _Finishing(listener) as finishing, _Opening(self.open, jobs) as opening:
            for job, opened in opening:
                finishing.add(self._compute(job, opened.result, finishing.progress_of(job)))
                if finishing.failed and self._settings.fail_fast:
                    break

    def run_one(self, job: Job, progress: PlaneProgress) -> Outcome:
        """Work through one job and return when its output stands.

        Raises:
            WeightsError: the weights are missing or damaged.
            DeviceError: the device is missing.
        """
        return self._compute(job, lambda: self.open(job), progress)()

    def open(self, job: Job) -> Opened:
        """Open a scan and begin to read it.

        Raises:
            RatError: it is unreadable or unsuitable.
        """
        reader = ReadAhead(self._work.open(job))
        reader.start()
        digest = job.inputs_digest() if self._settings.digests else ""
        return Opened(reader, digest)

    def _compute(self, job: Job, opened: Callable[[], Opened], progress: PlaneProgress) -> Finish:
        """Compute an output; the function returned writes it and tells what became of it."""
        with ExitStack() as stack:
            try:
                scan = opened()
            except Exception as error:
                return _failed(job, error)
            stack.callback(scan.close)
            worker = self._load()
            started = time.monotonic()
            try:
                for path in job.claims:
                    stack.enter_context(claimed(path))
                _refuse_written(job)
                unfinished = worker.run(job, scan.reader, progress)
            except BusyError as error:
                return _failed(job, error, "busy")
            except Exception as error:
                return _failed(job, error)
            held = stack.pop_all()
        return lambda: replace(
            self._finish(job, scan, unfinished, held), seconds=round(time.monotonic() - started, 3)
        )

    def _load(self) -> Worker:
        if self._worker is None:
            self._worker = self._work.load()
        return self._worker

    def _finish(
        self, job: Job, scan: Opened, unfinished: PendingOutput, held: ExitStack
    ) -> Outcome:
        with held:
            try:
                unfinished.commit()
                is_hashed = self._settings.digests and job.outputs
                digest = output_digest(job.output) if is_hashed else ""
            except Exception as error:
                return Outcome.failure(job.name, error, output=job.output_text)
        return Outcome(
            job.name,
            "done",
            output=job.output_text,
            input_sha256=scan.digest,
            output_sha256=digest,
            facts=unfinished.facts,
        )


def _refuse_written(job: Job) -> None:
    """Refuse an output that another process wrote after it was planned here.

    Raises:
        BusyError: it is there.
    """
    if not job.overwrite and any(map(os.path.lexists, job.claims)):
        raise BusyError(
            f"{job.output.name} was written by another process meanwhile",
            hint="Choose another folder with -o, or --if-exists skip.",
        )


def _failed(job: Job, error: Exception, status: Status = "failed") -> Finish:
    outcome = replace(Outcome.failure(job.name, error, output=job.output_text), status=status)
    return lambda: outcome


class _Opening:
    """Opens the next jobs in a thread while one is worked on."""

    def __init__(self, open_job: Callable[[Job], Opened], jobs: Iterable[Job]) -> None:
        self._open = open_job
        self._jobs = iter(jobs)
        self._thread = ThreadPoolExecutor(1, "rat-open")
        self._coming: deque[tuple[Job, Future[Opened]]] = deque()

    def __iter__(self) -> Iterator[tuple[Job, Future[Opened]]]:
        self._fill()
        while self._coming:
            job, opened = self._coming.popleft()
            self._fill()
            yield job, opened

    def _fill(self) -> None:
        for job in itertools.islice(self._jobs, AHEAD - len(self._coming)):
            self._coming.append((job, self._thread.submit(self._open, job)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was opened and not used."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        for _, opened in self._coming:
            if not opened.cancelled() and opened.exception() is None:
                opened.result().close()


class _Finishing:
    """Closes outputs in a thread, and tells of them in the order of the jobs."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._thread = ThreadPoolExecutor(1, "rat-finish")
        self._waiting: deque[Future[Outcome]] = deque()
        self.failed = False

    def add(self, finish: Finish) -> None:
        """Hand over what finishes a job; waits where too many are unfinished."""
        self._waiting.append(self._thread.submit(finish))
        self._tell(most=AHEAD)

    def progress_of(self, job: Job) -> PlaneProgress:
        """Return what is called after each plane: tells of it, and of what has been finished."""

        def progress(done: int, total: int) -> None:
            self._listener.check()
            self._tell(most=AHEAD)
            self._listener.planes(job.name, done, total)

        return progress

    def _tell(self, most: int) -> None:
        while self._waiting and (len(self._waiting) > most or self._waiting[0].done()):
            outcome = self._waiting.popleft().result()
            self.failed = self.failed or outcome.status == "failed"
            self._listener.finished(outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let what is computed reach the disk, and tell of it."""
        self._tell(most=0)
        self._thread.shutdown(wait=True)
