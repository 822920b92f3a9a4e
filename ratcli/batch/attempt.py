"""One attempt at a job: its outputs are claimed, computed, and given their final names."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

from typing_extensions import Self

from ratcli.batch.claim import BusyError, claimed
from ratcli.batch.outcome import Outcome, Status
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead
from ratcli.batch.work import PendingOutput, PlaneProgress


@dataclass(frozen=True)
class Opened:
    """A scan that is open: its headers are read, and its first planes are being read."""

    reader: ReadAhead
    digest: str

    def close(self) -> None:
        """Close the scan."""
        self.reader.__exit__(None, None, None)


class Attempt:
    """One try at a job whose scan is open. Enter it, claim the outputs, and compute.

    An exception inside makes this job fail and no other one; `finish` returns the outcome.

    Args:
        job: the job.
        scan: its scan; closed at the end.
        progress: called after each plane.
        digest: whether the output is hashed.

    Attributes:
        job: the job.
        reader: its scan.
        progress: called after each plane.
        output: set this to what was computed.
    """

    def __init__(self, job: Job, scan: Opened, progress: PlaneProgress, *, digest: bool) -> None:
        self.job, self.reader, self.progress = job, scan.reader, progress
        self.output: PendingOutput | None = None
        self._scan = scan
        self._digest = digest
        self._error: Exception | None = None
        self._started = time.monotonic()
        self._held = ExitStack()
        self._held.callback(scan.close)

    def claim(self) -> None:
        """Hold the outputs for this process.

        Raises:
            BusyError: another process is writing them, or wrote them after they were planned.
            OutputError: the folder cannot be written.
        """
        for path in self.job.claims:
            self._held.enter_context(claimed(path))
        if not self.job.overwrite and any(map(os.path.lexists, self.job.claims)):
            raise BusyError(
                f"{self.job.output.name} has been written by another process in the meantime",
                hint="Choose another folder with -o, or --if-exists skip.",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        self._held.close()
        if isinstance(error, Exception):
            self._error = error
        return self._error is not None

    def finish(self) -> Outcome:
        """Give the output its final name and return what became of the job."""
        if self._error is not None:
            return replace(failed(self.job, self._error), notices=self._notices())
        with self._held:
            outcome = self._commit()
        return replace(outcome, seconds=round(time.monotonic() - self._started, 3))

    def _commit(self) -> Outcome:
        assert self.output is not None
        try:
            self.output.commit()
            is_hashed = self._digest and self.job.outputs
            digests = self.job.output_digests() if is_hashed else {}
        except Exception as error:
            return Outcome.failure(self.job.name, error, output=self.job.output_text)
        return Outcome(
            self.job.name,
            "done",
            output=self.job.output_text,
            input_sha256=self._scan.digest,
            output_sha256=digests.pop(self.job.output.name, ""),
            parts_sha256=digests,
            notices=self._notices(),
            facts=self.output.facts,
        )

    def _notices(self) -> tuple[str, ...]:
        """Return what is unusual about the scan; some of it is seen only in the pixels."""
        return self.job.notices(self.reader.info)


def failed(job: Job, error: Exception) -> Outcome:
    """Return the outcome of a job that an error ended; `busy` if another process has its output."""
    status: Status = "busy" if isinstance(error, BusyError) else "failed"
    return replace(Outcome.failure(job.name, error, output=job.output_text), status=status)
