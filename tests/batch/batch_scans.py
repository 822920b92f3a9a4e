"""Small scans, and a kind of work that needs no network: it adds one to every value."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np

from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead, write_behind
from ratcli.batch.work import PendingOutput, PlaneProgress
from ratcli.errors import UnsuitableInputError, WeightsError
from ratcli.formats import open_scan
from ratcli.scan import Derivation, ScanReader

SIZE = 8


def make_scan(path: Path, seed: int = 0, planes: int = 3) -> Path:
    """Write a NIfTI file of small integers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(-500, 500, (SIZE, SIZE, planes))
    nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), np.diag([2.0, 2, 3, 1])), path)
    return path


def values_of(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


@dataclass(frozen=True)
class AddOne:
    """The work; it can be slow, refuse a name, fail to load, or end its process."""

    seconds: float = 0.0
    refuses: str = ""
    loads: bool = True
    journal: Path | None = None
    kills_once: Path | None = None
    kills_on: str = ""

    def open(self, job: Job) -> ScanReader:
        if self.refuses and self.refuses in job.name:
            raise UnsuitableInputError("this name is refused")
        return open_scan(job.source)

    def load(self) -> AddingOne:
        if not self.loads:
            raise WeightsError("there are no weights")
        if self.journal is not None:
            with self.journal.open("a") as file:
                file.write(f"{os.getpid()}\n")
        return AddingOne(self)


@dataclass
class AddingOne:
    work: AddOne

    def run(self, job: Job, reader: ReadAhead, progress: PlaneProgress) -> PendingOutput:
        self._die(job)
        record = "rat 0, add-one, weights none"
        derivation = Derivation("add-one", record, "one", version="0", settings=("one",))
        with ExitStack() as stack:
            writer = stack.enter_context(
                write_behind(reader, job.output, derivation, overwrite=job.overwrite)
            )
            for plane in range(reader.info.planes):
                time.sleep(self.work.seconds)
                writer.write(plane, reader.read(plane) + np.float32(1))
                progress(plane + 1, reader.info.planes)
            return PendingOutput({"planes": reader.info.planes}, stack.pop_all())

    def _die(self, job: Job) -> None:
        if self.work.kills_on and self.work.kills_on in job.name:
            os.kill(os.getpid(), signal.SIGKILL)
        flag = self.work.kills_once
        if flag is not None and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Heard:
    """A listener that keeps what it hears."""

    outcomes: list[Outcome] = field(default_factory=list)
    planes_told: list[tuple[str, int, int]] = field(default_factory=list)

    def check(self) -> None:
        return None

    def planes(self, name: str, done: int, total: int) -> None:
        self.planes_told.append((name, done, total))

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @property
    def statuses(self) -> dict[str, str]:
        return {outcome.name: outcome.status for outcome in self.outcomes}
