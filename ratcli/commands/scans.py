"""Options that several commands share: which scans, and how the batch is run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ratcli.batch.plan import Selection
from ratcli.batch.session import BatchSettings
from ratcli.commands.options import option
from ratcli.formats import Reading
from ratcli.formats.limits import DEFAULT_MAX_PIXELS
from ratcli.tasks import TASKS

StrPath = str | os.PathLike[str]
Scans = StrPath | Sequence[StrPath]
"""One path or several, of files, folders and archives."""

UNITS = ("HU", "SUV", "Bq/ml")
"""Units that a user may name; colours are known from their channels."""

SCANS = "Which scans"
BATCH = "Batches"
SPEED = "Speed and memory"

PARTITION_HELP = (
    "Method that finds the regions: none, superpixel, superpixel-coarse, sam-compact, "
    "sam-vit-b, sam-vit-l or sam-vit-h. Without it, the method of the task."
)
DEVICE_HELP = (
    "Where the network runs: auto, cpu, cuda, cuda:1 or mps. auto uses a CUDA GPU if there is one, "
    "else the CPU; any other value fails if the device is missing."
)
CACHE_HELP = "Folder that keeps partitions, so that none is computed twice."


def threads_option() -> Any:
    """Return the field that each command with a network has for its threads."""
    return option(
        0,
        "Number of processor threads; 0, the default, uses all processors that this process may "
        "use.",
        least=0, most=1024, metavar="N", group=SPEED,
    )  # fmt: skip


def paths_of(scans: Scans) -> list[Path]:
    """Return one path or several as a list."""
    paths = [scans] if isinstance(scans, (str, os.PathLike)) else scans
    return [Path(path) for path in paths]


def task_names() -> list[str]:
    """Return the names of the tasks."""
    return list(TASKS)


def partition_names() -> list[str]:
    """Return the names of the partitions."""
    from ratcli.partition import PARTITIONS

    return list(PARTITIONS)


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """Which scans are read, and facts that their files do not contain."""

    recursive: bool = option(False, "Also search the folders inside a folder.", short="r")
    series_uid: str | None = option(
        None, "Read only the DICOM series with this UID.", metavar="UID", group=SCANS
    )
    unit: str | None = option(
        None,
        "Unit of the values, for files that do not contain it: HU, SUV or Bq/ml.",
        metavar="UNIT",
        names=lambda: UNITS,
        group=SCANS,
        changes_pixels=True,
    )
    suv_factor: float | None = option(
        None,
        "PET: factor from the values (Bq/ml) to SUV. Without it, rat computes it from the header.",
        least=1e-12,
        metavar="F",
        group=SCANS,
        changes_pixels=True,
    )
    full_scale: float | None = option(
        None,
        "TIFF in colour: stored number that is white, such as 4095 for 12 bits in 16. Without it, "
        "rat takes what the file says.",
        least=1,
        metavar="N",
        group=SCANS,
        changes_pixels=True,
    )
    image: int | None = option(
        None,
        "TIFF with several images: page of the one to read, from 1. Without it, the largest.",
        least=1,
        metavar="N",
        group=SCANS,
        changes_pixels=True,
    )
    include_localizers: bool = option(
        False,
        "Do not leave out localizers (scouts).",
        group=SCANS,
    )
    max_pixels: int = option(
        DEFAULT_MAX_PIXELS,
        "Refuse planes with more pixels than this.",
        metavar="N",
        least=1,
        group=SCANS,
    )


def reading(options: ScanOptions) -> Reading:
    """Return how scans are read."""
    return Reading(
        unit=options.unit,
        suv_factor=options.suv_factor,
        full_scale=options.full_scale,
        image=options.image,
        max_pixels=options.max_pixels,
        localizers=options.include_localizers,
    )


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where scans are written."""

    output: Path | None = option(
        None,
        "File for the output of one file; folder for a DICOM series or several scans. Without it, "
        "outputs are written beside the inputs.",
        short="o",
        metavar="PATH",
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a batch is run."""

    if_exists: Literal["error", "skip", "overwrite"] = option(
        "error", "What to do if an output file already exists."
    )
    jobs: int = option(
        1, "Number of scans to work on at once, each in its own process.",
        short="j", least=1, most=1024, metavar="N",
    )  # fmt: skip
    scheduler: str = option(
        "",
        "Send the scans to the Dask cluster with this address, such as tcp://host:8786.",
        metavar="ADDRESS",
        group=BATCH,
    )
    scheduler_timeout: float = option(
        10.0,
        "Fail if the cluster does not answer within this time.",
        metavar="SECONDS",
        least=0.1,
        most=3600,
        group=BATCH,
    )
    manifest: Path | None = option(
        None,
        "Write versions, settings and the outcome of each scan to this JSON file.",
        metavar="FILE",
        group=BATCH,
    )
    resume: bool = option(
        False, "Continue the batch in the manifest: skip the scans that it lists as done.",
        group=BATCH,
    )  # fmt: skip
    dry_run: bool = option(False, "Only show what would be done.", group=BATCH)
    fail_fast: bool = option(False, "Stop at the first scan that fails.", group=BATCH)


@dataclass(frozen=True, kw_only=True)
class WindowOptions(ScanOptions):
    """Scans for a task that changes the values of its window only."""

    any_values: bool = option(
        False,
        "Accept a scan even if nearly all of it lies outside the values that the task changes.",
        group=SCANS,
        changes_pixels=True,
    )


@dataclass(frozen=True, kw_only=True)
class BatchOptions(RunOptions, OutputOptions):
    """Where outputs go, and how many scans are worked on."""


def selection(
    scans: ScanOptions,
    batch: BatchOptions,
    suffix: str,
    *,
    residual: bool = False,
    uncertainty: bool = False,
) -> Selection:
    """Return which scans are wanted and where outputs go.

    Args:
        scans: which scans.
        batch: where outputs go.
        suffix: end of the name of an output that is written beside its input.
        residual: whether input minus output is written, too.
        uncertainty: whether standard deviations are written, too.
    """
    output = None if batch.output is None else batch.output.absolute()
    return Selection(
        suffix,
        output,
        scans.recursive,
        scans.series_uid,
        residual,
        uncertainty,
        localizers=scans.include_localizers,
    )


def batch_settings(options: RunOptions) -> BatchSettings:
    """Return how a batch is run."""
    return BatchSettings(
        if_exists=options.if_exists,
        manifest=None if options.manifest is None else options.manifest.absolute(),
        resume=options.resume,
        processes=options.jobs,
        scheduler=options.scheduler,
        scheduler_timeout=options.scheduler_timeout,
        fail_fast=options.fail_fast,
    )
