"""Simulating a lower dose as a kind of work for a batch."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratcli import __version__
from ratcli.batch.coarse import CoarseTiff
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead, write_behind
from ratcli.batch.work import PendingOutput, PlaneProgress
from ratcli.errors import UnsuitableInputError
from ratcli.formats import open_scan
from ratcli.formats.limits import DEFAULT_MAX_PIXELS
from ratcli.physics import Degradation, prepare
from ratcli.pipeline import check
from ratcli.pipeline.object_window import refuse_outside_window
from ratcli.scan import Derivation, FloatArray, ScanInfo, ScanReader
from ratcli.task import Task

if TYPE_CHECKING:
    from ratcli.physics import Degrader

_SAMPLES = 5
_SKEW = 0.02


@dataclass(frozen=True)
class SimulateWork:
    """Degrade scans as the scanner of a task would have.

    Attributes:
        task: the task that restores such scans.
        degradation: how much.
        unit: unit of the values if the file does not say, or None.
        suv_factor: factor to SUV that replaces that of the header, or None.
        any_values: whether a scan is accepted that lies outside the task's window.
        spacing_mm: pixel pitch if the file does not say, or None.
        max_pixels: most pixels to decode at once.
        threads: of each process; 0 for all.
    """

    task: Task
    degradation: Degradation
    unit: str | None = None
    suv_factor: float | None = None
    any_values: bool = False
    spacing_mm: float | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    threads: int = 0

    def open(self, job: Job) -> ScanReader:
        """Open a scan and refuse one that cannot be degraded; see `Work.open`."""
        reader = open_scan(
            job.source,
            max_pixels=self.max_pixels,
            assume_unit=self.unit,
            suv_factor=self.suv_factor,
        )
        try:
            check(self.task, reader)
            # Counts are thinned in activity, too; only what is known in SUV has a window.
            if not self.any_values and self.task.is_convertible(reader.info):
                refuse_outside_window(self.task, reader)
            self.pitch_mm(reader.info)
            if self.task.scale > 1 and reader.info.format != "tiff":
                raise UnsuitableInputError(
                    f"coarser slides are written as TIFF, but this is {reader.info.format.upper()}"
                )
        except BaseException:
            reader.__exit__(None, None, None)
            raise
        return reader

    def load(self) -> SimulateWorker:
        """Set the threads; see `Work.load`."""
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)
        return SimulateWorker(self)

    def pitch_mm(self, info: ScanInfo) -> float:
        """Return the pixel pitch that physics needs; 1 where it needs none.

        Raises:
            UnsuitableInputError: it is unknown, or differs between rows and columns.
        """
        if self.task.scale > 1:
            return 1.0
        if self.spacing_mm is not None:
            return self.spacing_mm
        rows, columns = info.spacing_mm[1:]
        if not rows or not columns:
            raise UnsuitableInputError(
                "the file does not contain the pixel spacing, which the simulation needs",
                hint="Give it with --spacing MM.",
            )
        if abs(rows / columns - 1) > _SKEW:
            raise UnsuitableInputError(
                f"pixels are {rows:g} by {columns:g} mm, but the simulation needs square ones"
            )
        return math.sqrt(rows * columns)


class SimulateWorker:
    """Degrades scans one after another.

    Args:
        work: what to do.
    """

    def __init__(self, work: SimulateWork) -> None:
        self._work = work

    def run(self, job: Job, reader: ReadAhead, progress: PlaneProgress) -> PendingOutput:
        """Degrade a scan; see `Worker.run`."""
        work, info = self._work, reader.info
        samples = _samples(reader) if work.task.scale == 1 else []
        degrade = prepare(work.task.name, work.degradation, samples, work.pitch_mm(info))
        reader.start()
        facts = {name: float(f"{value:.4g}") for name, value in degrade.facts.items()}
        derivation = _derivation(work, facts)
        with ExitStack() as stack:
            if degrade.shrinks > 1:
                tiff = CoarseTiff(job.output, derivation, overwrite=job.overwrite)
                stack.enter_context(tiff).write(reader, degrade, progress)
            else:
                writer = write_behind(reader, job.output, derivation, overwrite=job.overwrite)
                stack.enter_context(writer)
                for plane in range(info.planes):
                    writer.write(plane, _degraded(reader, degrade, plane))
                    progress(plane + 1, info.planes)
            return PendingOutput({"planes": info.planes, **facts}, stack.pop_all())


def _samples(reader: ReadAhead) -> list[FloatArray]:
    """Read a few planes, evenly spread; the first and last ones are often unlike the rest."""
    planes = reader.info.planes
    count = min(_SAMPLES, planes)
    numbers = [(2 * k + 1) * planes // (2 * count) for k in range(count)]
    return [reader.thread.submit(reader.inner.read, number).result() for number in numbers]


def _degraded(reader: ReadAhead, degrade: Degrader, plane: int) -> FloatArray:
    values = reader.read(plane)
    padding = reader.padding(plane) | ~np.isfinite(values).all(0)
    low = degrade(np.where(padding, np.float32(0), values), padding, plane)
    return np.where(padding, values, low)


def _derivation(work: SimulateWork, facts: dict[str, float]) -> Derivation:
    how = work.degradation
    if work.task.scale > 1:
        label, text = (
            f"RAT simulated 1/{work.task.scale}",
            f"shrunk by {work.task.scale}, bicubic",
        )
    else:
        label, text = f"RAT simulated dose {how.dose:g}", f"dose {how.dose:g}, seed {how.seed}"
    found = "".join(f", {name.replace('_', ' ')} {value:g}" for name, value in facts.items())
    return Derivation(
        task=work.task.name,
        description=f"rat {__version__}, simulated degradation for {work.task.name}: {text}{found}",
        label=label,
        method="simulate",
        version=__version__,
        settings=("simulate", *(f"{name}={value!r}" for name, value in asdict(how).items())),
    )
