"""`rat segment`: its options, and the functions that find the regions of scans or arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ratcli.batch.arrays import AnyArray
from ratcli.batch.outcome import Outcome
from ratcli.commands.batches import finish, header_of, planned, timed
from ratcli.commands.listening import SILENT, Listener
from ratcli.commands.options import option, settle, takes
from ratcli.commands.scans import (
    CACHE_HELP,
    PARTITION_HELP,
    SPEED,
    THREADS_HELP,
    BatchOptions,
    ScanOptions,
    batch_settings,
    partition_names,
    selection,
    task_names,
)
from ratcli.regions import LabelArray
from ratcli.tasks import TASKS, get_task

if TYPE_CHECKING:
    from ratcli.batch.segmenting import SegmentWork
    from ratcli.batch.session import Batch

OUTPUTS = "What is written"
REGIONS = "Regions"

# Used without a task. It shows more of the anatomy than the three classes of CT denoising.
_USUAL_PARTITION = "superpixel"


@dataclass(frozen=True, kw_only=True)
class SegmentOptions(ScanOptions, BatchOptions):
    """How `rat segment` works; its fields are the options of the command line."""

    task: str | None = option(
        None,
        f"Task that would use the regions: {', '.join(TASKS)}.",
        short="t", metavar="TASK", names=task_names, changes_pixels=True,
    )  # fmt: skip
    partition: str | None = option(
        None, PARTITION_HELP, metavar="NAME", names=partition_names, changes_pixels=True
    )
    format: Literal["dicom", "nifti", "tiff"] | None = option(
        None, "Format of the region map. Without it, the format of the scan.", changes_pixels=True
    )
    preview: bool = option(False, "Also draw the regions over the planes, as PNG.", group=OUTPUTS)
    table: bool = option(
        False,
        "Also write area, mean and standard deviation of each region, as CSV.",
        group=OUTPUTS,
    )
    propagate: bool = option(
        False,
        "Give a region the same number in all planes that it crosses.",
        group=REGIONS,
        changes_pixels=True,
    )
    cache: Path | None = option(
        None, CACHE_HELP,
        metavar="DIR", group=REGIONS,
    )  # fmt: skip
    device: str = option(
        "auto",
        "Where partitions by a network (sam-...) are computed: auto, cpu, cuda, cuda:1 or mps.",
        metavar="DEVICE", group=SPEED,
    )  # fmt: skip
    threads: int = option(0, THREADS_HELP, least=0, metavar="N", group=SPEED)


@overload
def segment(
    scans: AnyArray,
    options: SegmentOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> LabelArray: ...


@overload
def segment(
    scans: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    options: SegmentOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> list[Outcome]: ...


def segment(
    scans: AnyArray | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    options: SegmentOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> LabelArray | list[Outcome]:
    """Find the regions of scans, and write a region map on the grid of each scan.

    Args:
        scans: paths of files, folders and archives; or an array as for `ratcli.restore`, which
            needs a task.
        options: the options; None for the defaults.
        listener: is called as the work proceeds.
        changes: single options by name, which replace those in `options`.

    Returns:
        For paths, the outcome of each scan. For an array, labels from 0: int32 `(H, W)` for one
        plane, `(N, H, W)` for several.

    Raises:
        RatError: a scan failed; the error has the exit code of the command line. All other scans
            are done.
        TypeError: an option does not exist.
        ValueError: an array without a task, or with a number of axes that does not suit it.
    """
    settled = settle(SegmentOptions, options, changes)
    if isinstance(scans, np.ndarray):
        return find_regions(scans, settled)
    batch, work = _prepare(scans, settled)
    if settled.dry_run:
        return planned(batch, work, listener)
    with timed(listener, batch) as seconds:
        outcomes = batch.run(work, listener)
    listener.ended(outcomes, seconds())
    return finish(outcomes)


def find_regions(
    scan: AnyArray | str | os.PathLike[str],
    options: SegmentOptions | None = None,
    **changes: Any,
) -> LabelArray:
    """Return the regions of an array or of one scan on disk; nothing is written.

    Args:
        scan: an array as for `ratcli.restore`, or the path of one scan.
        options: the options, with a task.
        changes: single options by name, which replace those in `options`.

    Returns:
        Labels from 0: int32 `(H, W)` for one plane, `(N, H, W)` for several.

    Raises:
        RatError: the scan cannot be read, or does not suit the task.
        TypeError: an option does not exist.
        ValueError: no task was named, or the number of axes of an array does not suit it.
    """
    from ratcli.commands.arrays import regions_of

    return regions_of(scan, settle(SegmentOptions, options, changes))


takes(SegmentOptions)(segment)
takes(SegmentOptions)(find_regions)


def partition_of(options: SegmentOptions) -> str:
    """Return the name of the partition that options ask for."""
    return options.partition or (
        get_task(options.task).partition if options.task else _USUAL_PARTITION
    )


def _prepare(
    scans: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], options: SegmentOptions
) -> tuple[Batch, SegmentWork]:
    from ratcli.batch.pool import threads_each
    from ratcli.batch.segmenting import SegmentWork
    from ratcli.batch.session import Batch
    from ratcli.commands.region_outputs import find_region_jobs

    work = SegmentWork(
        partition=partition_of(options),
        task=options.task,
        kind=options.format,
        unit=options.unit,
        suv_factor=options.suv_factor,
        device=options.device,
        threads=options.threads or threads_each(options.jobs),
        cache=options.cache.absolute() if options.cache else None,
        propagate=options.propagate,
        preview=options.preview,
        table=options.table,
        max_pixels=options.max_pixels,
    )
    paths = [scans] if isinstance(scans, (str, os.PathLike)) else scans
    plan = find_region_jobs(
        [Path(path) for path in paths],
        selection(options, options, "_regions"),
        options.format,
        work.beside,
    )
    libraries = {"numpy": None, "scikit-image": None}
    header = header_of("segment", options, {"partition": work.partition}, libraries)
    return Batch(plan, header, batch_settings(options)), work
