"""Simulating a lower dose as a kind of work for a batch.

Coarser slides are written as tiled TIFF, tile by tile: memory does not grow with the slide.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ratcli import __version__
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead, write_behind
from ratcli.batch.work import PendingOutput, PlaneProgress, ScanWork
from ratcli.errors import UnsuitableInputError
from ratcli.formats.atomic import PartialFile, output_errors
from ratcli.formats.closing import FinishingWriter
from ratcli.physics import Degradation
from ratcli.pipeline import check
from ratcli.pipeline.aiming import sample_planes
from ratcli.pipeline.object_window import refuse_outside_window
from ratcli.scan import Box, Derivation, FloatArray, ScanInfo, ScanReader
from ratcli.task import Task

if TYPE_CHECKING:
    from ratcli.physics.scans import Degrader

_SKEW = 0.02
_TILE = 256
_MARGIN = 4
_SMALL_MM = 250.0  # side of a PET plane that shows less than a head, in which counts are fewer


@dataclass(frozen=True, kw_only=True)
class SimulateWork(ScanWork):
    """Degrade scans as the scanner of a task would have.

    Attributes:
        task: the task that restores such scans.
        degradation: how much.
        spacing_mm: pixel pitch if the file does not say, or None.
        threads: of each process; 0 for all.
        is_kernel_given: whether the user named the kernel of the noise.
    """

    task: Task
    degradation: Degradation
    spacing_mm: float | None = None
    threads: int = 0
    is_kernel_given: bool = False

    def check(self, reader: ScanReader) -> None:
        """Refuse a scan that cannot be degraded; see `ScanWork.check`."""
        check(self.task, reader)
        # Counts are thinned in activity, too; only what is known in SUV has a window.
        if not self.any_values and self.task.is_convertible(reader.info):
            refuse_outside_window(self.task, reader)
        pitch_mm = self.pitch_mm(reader.info)
        notices = (*reader.info.notices, *self._doubts(reader.info, pitch_mm))
        reader.info = replace(reader.info, notices=notices)  # type: ignore[misc]
        if self.task.scale > 1 and reader.info.format != "tiff":
            raise UnsuitableInputError(
                f"coarser slides are written as TIFF, but this is a {reader.info.format}",
                hint="Save the slide as TIFF first.",
            )

    def _doubts(self, info: ScanInfo, pitch_mm: float) -> Iterator[str]:
        """Yield what the simulation assumes, where the scan suggests something else."""
        kernel = info.details.get("kernel")
        if kernel and self.task.units[0] == "HU" and not self.is_kernel_given:
            yield (
                f"the scan has the kernel {kernel}, but its noise is simulated with medium; "
                "--kernel changes this"
            )
        side_mm, counts = pitch_mm * min(info.height, info.width), self.degradation.counts
        if self.task.units[0] == "SUV" and side_mm < _SMALL_MM:
            yield (
                f"the planes show {side_mm:.0f} mm only; {counts:.3g} counts in each are more than "
                "a scanner records there, so that little noise is added; --counts changes this"
            )

    def load(self) -> SimulateWorker:
        """Set the threads; see `Work.load`."""
        from ratcli.network.device import choose_device

        choose_device("cpu", self.threads)
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
        from ratcli.physics.scans import DEGRADERS

        work, info = self._work, reader.info
        samples = _samples(reader) if work.task.scale == 1 else []
        degrade = DEGRADERS[work.task.name](work.degradation, samples, work.pitch_mm(info))
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
    """Read a few planes, evenly spread."""
    planes = sample_planes(reader.info)
    return [reader.thread.submit(reader.inner.read, number).result() for number in planes]


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


class CoarseTiff(FinishingWriter):
    """A TIFF in the making; a context manager, see `ScanWriter`.

    Args:
        path: the file.
        derivation: what was done.
        overwrite: whether a file of that name may be replaced.
    """

    def __init__(self, path: Path, derivation: Derivation, *, overwrite: bool) -> None:
        self._derivation = derivation
        self._file = PartialFile(path, overwrite=overwrite)

    def write(self, reader: ReadAhead, degrade: Degrader, progress: PlaneProgress) -> None:
        """Write all planes, one page each, 8 bits a sample, without loss.

        Raises:
            UnsuitableInputError: the slide is too small to be made coarser.
            OutputError: it cannot be written.
        """
        import tifffile

        info, shrinks = reader.info, degrade.shrinks
        height, width = info.height // shrinks, info.width // shrinks
        if not height or not width:
            raise UnsuitableInputError(
                f"the slide is {info.height} x {info.width} pixels, too small to be made coarser"
            )
        with (
            output_errors(self._file.final),
            tifffile.TiffWriter(self._file.path, bigtiff=height * width > 1 << 29) as tiff,
        ):
            for plane in range(info.planes):
                tiff.write(
                    _tiles(reader, degrade, plane),
                    shape=(height, width, 3),
                    dtype=np.uint8,
                    tile=(_TILE, _TILE),
                    photometric="rgb",
                    compression="adobe_deflate",
                    predictor=True,
                    software=f"rat {self._derivation.version}",
                    description=self._derivation.description,
                    metadata=None,
                    **_resolution(info, shrinks),
                )
                progress(plane + 1, info.planes)

    def finish(self) -> None:
        """Give the file its name."""
        self._file.commit()

    def discard(self) -> None:
        """Remove the file if it is unfinished."""
        self._file.discard()


def _tiles(reader: ReadAhead, degrade: Degrader, plane: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield tiles row by row, padded at the right and lower edge with their last pixels."""
    info, shrinks = reader.info, degrade.shrinks
    height, width = info.height // shrinks, info.width // shrinks
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            low = (max(0, top - _MARGIN), max(0, left - _MARGIN))
            high = (min(height, top + _TILE + _MARGIN), min(width, left + _TILE + _MARGIN))
            box = Box(*low, high[0] - low[0], high[1] - low[1]).scaled(shrinks)
            values = reader.read(plane, box)
            small = degrade(values, np.zeros(values.shape[1:], np.bool_), plane)
            rows, columns = top - low[0], left - low[1]
            tile = small[:, rows : rows + _TILE, columns : columns + _TILE]
            samples = np.rint(tile * 255).astype(np.uint8).transpose(1, 2, 0)
            missing = [(0, _TILE - length) for length in samples.shape[:2]]
            yield np.pad(samples, [*missing, (0, 0)], mode="edge")


def _resolution(info: ScanInfo, shrinks: int) -> dict[str, object]:
    rows, columns = info.spacing_mm[1:]
    if not rows or not columns:
        return {}
    per_cm = (10 / (columns * shrinks), 10 / (rows * shrinks))
    return {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
