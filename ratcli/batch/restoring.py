"""Restoring as a kind of work for a batch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ratcli.batch.memory import Budget, Fit
from ratcli.batch.outcome import Fact
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead, WriteBehind, write_behind
from ratcli.batch.work import PlaneProgress
from ratcli.errors import UsageError
from ratcli.formats import check_jpeg, open_scan
from ratcli.formats.limits import DEFAULT_MAX_PIXELS
from ratcli.formats.regions import open_regions
from ratcli.partition.cache import CachedPartitioner
from ratcli.scan import Derivation, ScanInfo, ScanReader

if TYPE_CHECKING:
    from ratcli.pipeline import Restorer, RestoreSettings, RestoreSummary

LOG = logging.getLogger("ratcli.batch")

JPEG_QUALITY = 90
"""Quality of JPEG that nobody chose: a scanned tile keeps 40 dB in an eighth of the bytes."""


@dataclass(frozen=True)
class RestoreWork:
    """Restore scans.

    Attributes:
        settings: of the restoration.
        unit: unit of the values where a file does not tell one, or None.
        regions: a region map to use instead of computing one, or None.
        max_pixels: most pixels to decode at once.
        cache: folder of partitions that were computed before, or None.
        memory_bytes: budget that pane and batch have to fit into; 0 for none.
        jpeg_quality: 1 to 100 where TIFF in 8-bit RGB is written as JPEG, or None.
    """

    settings: RestoreSettings
    unit: str | None = None
    regions: Path | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    cache: Path | None = None
    memory_bytes: int = 0
    jpeg_quality: int | None = None

    def open(self, job: Job) -> ScanReader:
        """Open a scan and refuse one that the task is not for; see `Work.open`."""
        from ratcli.pipeline import check

        reader = open_scan(job.source, max_pixels=self.max_pixels, assume_unit=self.unit)
        try:
            check(self.settings.task, reader)
            if self.jpeg_quality is not None:
                check_jpeg(reader)
        except BaseException:
            reader.__exit__(None, None, None)
            raise
        return reader

    def load(self) -> RestoreWorker:
        """Load the network; see `Work.load`."""
        from ratcli.pipeline import Restorer, load_partitioner

        partitioner = load_partitioner(self.settings)
        if self.cache is not None:
            partitioner = CachedPartitioner(partitioner, self.cache)
        restorer = Restorer.load(self.settings, partitioner)
        return RestoreWorker(restorer, self.regions, self._budget(), self.jpeg_quality)

    def _budget(self) -> Budget | None:
        settings = self.settings
        if not self.memory_bytes:
            return None
        return Budget.of(self.memory_bytes, settings.weights or settings.task.weights)


class RestoreWorker:
    """A network that is loaded, and what it restores.

    Args:
        restorer: the loaded network.
        regions: file of the region map, or None.
        budget: what pane and batch have to fit into, or None.
        jpeg_quality: of the restored scan where it is written as JPEG, or None.
    """

    def __init__(
        self,
        restorer: Restorer,
        regions: Path | None = None,
        budget: Budget | None = None,
        jpeg_quality: int | None = None,
    ) -> None:
        self._restorer = restorer
        self._regions = regions
        self._budget = budget
        self._jpeg_quality = jpeg_quality
        self._fitted: dict[Fit, Restorer] = {}

    def restorer_for(self, info: ScanInfo) -> Restorer:
        """Return the network with the pane and batch that fit the budget for a scan.

        Raises:
            DeviceError: not even the smallest pane fits.
        """
        if self._budget is None:
            return self._restorer
        settings = self._restorer.settings
        fit = self._budget.fit(info, settings.task.scale)
        if fit not in self._fitted:
            size = f"panes of {fit.pane} pixels" if fit.pane else "whole planes"
            LOG.debug("within the memory given: %s, at most %d at once", size, fit.batch)
            self._fitted[fit] = self._restorer.within(fit.pane, fit.batch)
        return self._fitted[fit]

    def run(self, job: Job, reader: ReadAhead, progress: PlaneProgress) -> Written:
        """Restore a scan; see `Worker.run`."""
        restorer = self.restorer_for(reader.info)
        with ExitStack() as stack:
            regions = None
            if self._regions is not None:
                opening = reader.thread.submit(open_regions, self._regions, reader.inner)
                regions = stack.enter_context(opening.result()).regions

            def begin(
                path: Path, derivation: Derivation, jpeg_quality: int | None = None
            ) -> WriteBehind:
                writer = write_behind(
                    reader, path, derivation, overwrite=job.overwrite, jpeg_quality=jpeg_quality
                )
                return stack.enter_context(writer)

            residual = uncertainty = None
            output = begin(job.output, restorer.derivation(), self._jpeg_quality)
            if job.residual is not None:
                residual = begin(job.residual, restorer.residual_derivation())
            if job.uncertainty is not None:
                uncertainty = begin(job.uncertainty, restorer.uncertainty_derivation())
            summary = restorer.restore(
                reader,
                output,
                regions=regions,
                residual=residual,
                uncertainty=uncertainty,
                progress=progress,
            )
            return Written(self._facts(summary), stack.pop_all())

    def _facts(self, summary: RestoreSummary) -> dict[str, Fact]:
        """Return figures in four digits; the time is that of the whole job, told elsewhere."""
        figures = {name: value for name, value in asdict(summary).items() if name != "seconds"}
        rounded = {name: float(f"{value:.4g}") for name, value in figures.items()}
        return {**rounded, "planes": summary.planes, "device": self._restorer.device_name}


class Written:
    """An output whose planes are all handed to its writer; see `Unfinished`.

    Args:
        facts: figures about the work.
        writers: closes the writers.
    """

    def __init__(self, facts: Mapping[str, Fact], writers: ExitStack) -> None:
        self.facts = facts
        self._writers = writers

    def commit(self) -> None:
        """Close the writers: the outputs get their final names."""
        self._writers.close()


def jpeg_quality(compression: str, quality: int | None) -> int | None:
    """Return the quality of JPEG, None where nothing is to be lost.

    Raises:
        UsageError: no such compression or quality, or a quality without JPEG.
    """
    if compression not in ("lossless", "jpeg"):
        raise UsageError(f"compression must be lossless or jpeg, not '{compression}'")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality must be from 1 to 100, not {quality}")
    if compression == "lossless":
        if quality is not None:
            raise UsageError("a quality is for JPEG", hint="Add --compression jpeg.")
        return None
    return JPEG_QUALITY if quality is None else quality
