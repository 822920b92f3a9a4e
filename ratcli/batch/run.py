"""Working through jobs in this process: the next scans are opened, the last outputs written."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ratcli.batch.attempt import Attempt, Opened, failed
from ratcli.batch.closing import Closing
from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead
from ratcli.batch.work import PlaneProgress, Work, Worker

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


class BatchListener(Protocol):
    """Hears how a batch is getting on; called from one thread."""

    def check(self) -> None:
        """Raise KeyboardInterrupt if the user wants an end; called where the work can end."""

    def planes(self, name: str, done: float, total: int) -> None:
        """Hear how many planes of a scan are done; a part of one counts, too."""

    def finished(self, outcome: Outcome) -> None:
        """Hear the outcome of one scan."""


class Runner:
    """Opens the scans of jobs; loads the work at the first job that needs it.

    Args:
        work: what to do with each scan.
        settings: how.
    """

    def __init__(self, work: Work, settings: RunSettings) -> None:
        self._work = work
        self._settings = settings
        self._worker: Worker | None = None

    def attempts(
        self, jobs: Iterable[Job], listener: BatchListener
    ) -> Generator[tuple[Worker, Attempt], None, None]:
        """Yield an attempt at each job whose scan can be opened, and what computes it.

        While one is computed, the next scans are opened and the last outputs written. A scan that
        fails does not stop the others.

        Raises:
            WeightsError: the weights are missing or damaged.
            DeviceError: the device is missing.
        """
        with _Finishing(listener) as finishing, _Opening(self.open, jobs) as opening:
            for job, opened in opening:
                try:
                    scan = opened.result()
                except Exception as error:
                    finishing.add(partial(failed, job, error))
                else:
                    attempt = self._attempt(job, scan, finishing.progress_of(job))
                    yield self._load(scan), attempt
                    finishing.add(attempt.finish)
                if finishing.failed and self._settings.fail_fast:
                    break

    def run_one(self, job: Job, progress: PlaneProgress) -> Outcome:
        """Work through one job and return when its output is there.

        Raises:
            WeightsError: the weights are missing or damaged.
            DeviceError: the device is missing.
        """
        try:
            scan = self.open(job)
        except Exception as error:
            return failed(job, error)
        worker, attempt = self._load(scan), self._attempt(job, scan, progress)
        with attempt:
            attempt.claim()
            attempt.output = worker.run(job, attempt.reader, progress)
        return attempt.finish()

    def load(self) -> Worker:
        """Load the work if it is not loaded yet.

        Raises:
            WeightsError: the weights are missing or damaged.
            DeviceError: the device is missing.
        """
        if self._worker is None:
            self._worker = self._work.load()
        return self._worker

    def open(self, job: Job) -> Opened:
        """Open a scan and begin to read it.

        Raises:
            RatError: it is unreadable or unsuitable.
        """
        reader = ReadAhead(self._work.open(job))
        reader.start()
        digest = job.inputs_digest() if self._settings.digests else ""
        return Opened(reader, digest)

    def _attempt(self, job: Job, scan: Opened, progress: PlaneProgress) -> Attempt:
        return Attempt(job, scan, progress, digest=self._settings.digests)

    def _load(self, scan: Opened) -> Worker:
        """Load the work; if that fails, close the scan that would have been the first."""
        try:
            return self.load()
        except BaseException:
            scan.close()
            raise


class _Opening(Closing):
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

    def close(self, error: BaseException | None = None) -> None:
        """Close what was opened and not used."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        for _, opened in self._coming:
            if not opened.cancelled() and opened.exception() is None:
                opened.result().close()


class _Finishing(Closing):
    """Finishes outputs in a thread, and reports outcomes in the order of the jobs."""

    def __init__(self, listener: BatchListener) -> None:
        self._listener = listener
        self._thread = ThreadPoolExecutor(1, "rat-finish")
        self._waiting: deque[Future[Outcome]] = deque()
        self.failed = False

    def add(self, finish: Finish) -> None:
        """Hand over what finishes a job. If too many are unfinished, wait."""
        self._waiting.append(self._thread.submit(finish))
        self._report(most=AHEAD)

    def progress_of(self, job: Job) -> PlaneProgress:
        """Return what is called after each plane: it reports progress and finished outputs."""

        def progress(done: float, total: int) -> None:
            self._listener.check()
            self._report(most=AHEAD)
            self._listener.planes(job.name, done, total)

        return progress

    def _report(self, most: int) -> None:
        while self._waiting and (len(self._waiting) > most or self._waiting[0].done()):
            outcome = self._waiting.popleft().result()
            self.failed = self.failed or outcome.status == "failed"
            self._listener.finished(outcome)

    def close(self, error: BaseException | None = None) -> None:
        """Wait until all outputs are on the disk, and report them."""
        self._report(most=0)
        self._thread.shutdown(wait=True)
