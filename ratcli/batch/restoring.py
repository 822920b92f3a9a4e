"""Restoring as a kind of work for a batch."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ratcli.batch.digest import files_digest, output_digest
from ratcli.batch.memory import Budget, Portion
from ratcli.batch.outcome import Fact
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead, WriteBehind, write_behind
from ratcli.batch.work import PendingOutput, PlaneProgress, ScanWork
from ratcli.errors import UsageError
from ratcli.formats import ScanSource, check_jpeg, part_names
from ratcli.formats.regions import open_regions
from ratcli.partition import Partitioner
from ratcli.partition.cache import CachedPartitioner
from ratcli.pipeline import Outputs, RestoreSettings, RestoreSummary, check, restore_scan
from ratcli.pipeline.aiming import ChosenStrength, aimed
from ratcli.pipeline.object_window import refuse_outside_window
from ratcli.regions import Regions
from ratcli.scan import Derivation, FloatArray, ScanInfo, ScanReader

if TYPE_CHECKING:
    from ratcli.pipeline.model import Model
    from ratcli.pipeline.restore import RegionsOf

LOG = logging.getLogger("ratcli.batch")

JPEG_QUALITY = 90
"""Default quality of JPEG: a scanned tile keeps 40 dB in an eighth of the bytes."""


@dataclass(frozen=True, kw_only=True)
class RestoreWork(ScanWork):
    """Restore scans.

    Attributes:
        settings: of the restoration.
        regions: a region map to use instead of computing one, or None.
        cache: folder of partitions that were computed before, or None.
        memory_bytes: budget that pane and batch have to fit into; 0 for none.
        jpeg_quality: 1 to 100 to write TIFF in 8-bit RGB as JPEG, or None.
    """

    settings: RestoreSettings
    regions: Path | None = None
    cache: Path | None = None
    memory_bytes: int = 0
    jpeg_quality: int | None = None

    def of(self, job: Job) -> RestoreWork:
        """Return how the scan of a job is restored; see `WorkByTask.of`."""
        return self

    def check(self, reader: ScanReader) -> None:
        """Refuse a scan that the task is not for; see `ScanWork.check`."""
        check(self.settings.task, reader)
        if not self.any_values:
            refuse_outside_window(self.settings.task, reader)
        if self.jpeg_quality is not None:
            check_jpeg(reader)

    def load(self) -> RestoreWorker:
        """Load the network; see `Work.load`."""
        from ratcli.pipeline.model import Model, load_partitioner

        partitioner: Partitioner
        if self.regions is not None:
            partitioner = GivenRegions(regions_digest(self.regions))
        else:
            partitioner = load_partitioner(self.settings)
        if self.cache is not None:
            partitioner = CachedPartitioner(partitioner, self.cache)
        budget = None
        if self.memory_bytes:
            budget = Budget.of(self.memory_bytes, self.settings.weights_names[0])
        return RestoreWorker(self, Model.load(self.settings, partitioner), budget)


@dataclass(frozen=True)
class GivenRegions:
    """Regions that the user gave, in the place of a partitioner: what an output records of them.

    Attributes:
        sha256: of the region map, so that other regions give other identifiers.
    """

    sha256: str

    name = "user"

    @property
    def settings(self) -> tuple[str, ...]:
        """The hash of the region map."""
        return (f"regions={self.sha256}",)

    def partition(self, plane: FloatArray) -> Regions:
        """Never called: each plane comes with its regions."""
        raise AssertionError(f"no regions were given for a plane of shape {plane.shape}")


def regions_digest(path: Path) -> str:
    """Return the SHA-256 of a region map; of both files if it is a pair."""
    if path.is_dir():
        return output_digest(path)
    parts = part_names(ScanSource((path,), "nifti", path.stem), path, levels=False)
    return files_digest(part for part in (path, *parts) if part.is_file())


class RestoreWorker:
    """A model that is loaded, and how scans are restored by it.

    Args:
        work: what to do.
        model: the loaded networks.
        budget: what pane and batch have to fit into, or None.
    """

    def __init__(self, work: RestoreWork, model: Model, budget: Budget | None = None) -> None:
        self._work = work
        self._model = model
        self._budget = budget
        self._fitted: dict[Portion, Model] = {}

    def model_for(self, info: ScanInfo) -> Model:
        """Return the model with the pane and batch that fit the budget for a scan.

        Raises:
            DeviceError: not even the smallest pane fits.
        """
        if self._budget is None:
            return self._model
        portion = self._budget.portion(info, self._model.settings.task.scale)
        if portion not in self._fitted:
            size = f"panes of {portion.pane} pixels" if portion.pane else "whole planes"
            LOG.debug("within the memory given: %s, at most %d at once", size, portion.batch)
            self._fitted[portion] = self._model.within(portion.pane, portion.batch)
        return self._fitted[portion]

    def run(self, job: Job, reader: ReadAhead, progress: PlaneProgress) -> PendingOutput:
        """Restore a scan; see `Worker.run`."""
        model = self.model_for(reader.info)
        with ExitStack() as stack:
            regions = self._regions(reader, stack)
            model, chosen = aimed(model, reader, regions)
            outputs = self._outputs(job, reader, model, stack)
            summary = restore_scan(reader, outputs, model, regions=regions, progress=progress)
            return PendingOutput(self._facts(summary, chosen), stack.pop_all())

    def _regions(self, reader: ReadAhead, stack: ExitStack) -> RegionsOf | None:
        """Open the region map that was given, if any."""
        if self._work.regions is None:
            return None
        opening = reader.thread.submit(open_regions, self._work.regions, reader.inner)
        return stack.enter_context(opening.result()).regions

    def _outputs(self, job: Job, reader: ReadAhead, model: Model, stack: ExitStack) -> Outputs:
        """Begin the scans that the job writes."""

        def begin(
            path: Path, derivation: Derivation, jpeg_quality: int | None = None
        ) -> WriteBehind:
            if (given := self._work.reading.suv_factor) is not None:
                factor = f"suv_factor={given!r}"
                derivation = replace(derivation, settings=(*derivation.settings, factor))
            writer = write_behind(
                reader, path, derivation, overwrite=job.overwrite, jpeg_quality=jpeg_quality
            )
            return stack.enter_context(writer)

        provenance = model.provenance(reader.info)
        restored = begin(job.output, provenance.restored(), self._work.jpeg_quality)
        residual = uncertainty = None
        if job.residual is not None:
            residual = begin(job.residual, provenance.residual())
        if job.uncertainty is not None:
            uncertainty = begin(job.uncertainty, provenance.uncertainty())
        return Outputs(restored, residual, uncertainty)

    def _facts(self, summary: RestoreSummary, chosen: ChosenStrength | None) -> dict[str, Fact]:
        """Return figures in four digits, without the time, which the outcome has."""
        every = asdict(summary) | (asdict(chosen) if chosen is not None else {})
        figures = {name: value for name, value in every.items() if name != "seconds"}
        rounded = {name: float(f"{value:.4g}") for name, value in figures.items()}
        return {
            **rounded,
            "planes": summary.planes,
            "device": self._model.device_name,
            "precision": self._model.settings.engine.precision,
        }


def jpeg_quality(compression: str, quality: int | None) -> int | None:
    """Return the quality of JPEG; None if the compression is lossless.

    Raises:
        UsageError: no such compression or quality, or a quality without JPEG.
    """
    if compression not in ("lossless", "jpeg"):
        raise UsageError(f"compression must be lossless or jpeg, not '{compression}'")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality must be from 1 to 100, not {quality}")
    if compression == "lossless":
        if quality is not None:
            raise UsageError("--quality is only for JPEG", hint="Add --compression jpeg.")
        return None
    return JPEG_QUALITY if quality is None else quality
