"""`rat segment`: its options, and the functions that find the regions of scans or arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Job, Plan, Selection, find_jobs
from ratcli.commands.arrays import AnyArray
from ratcli.commands.batches import SILENT, Listener, header_of, run_batch
from ratcli.commands.options import option, settle, takes
from ratcli.commands.scans import (
    CACHE_HELP,
    PARTITION_HELP,
    SPEED,
    BatchOptions,
    Scans,
    StrPath,
    WindowOptions,
    batch_settings,
    partition_names,
    paths_of,
    reading,
    selection,
    task_names,
    threads_option,
)
from ratcli.errors import UsageError
from ratcli.formats import split_name
from ratcli.regions import LabelArray
from ratcli.tasks import TASKS, get_task

if TYPE_CHECKING:
    from ratcli.batch.segmenting import SegmentWork
    from ratcli.batch.session import Batch

OUTPUTS = "What is written"
REGIONS = "Regions"


@dataclass(frozen=True, kw_only=True)
class SegmentOptions(WindowOptions, BatchOptions):
    """How `rat segment` works; its fields are the options of the command line."""

    task: str | None = option(
        None,
        f"Task that would use the regions: {', '.join(TASKS)}. Without it, rat finds the task that "
        "fits each scan.",
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
    memory: str = option(
        "",
        "Refuse a scan whose regions would take more memory than this, such as 4GB.",
        metavar="SIZE", group=SPEED,
    )  # fmt: skip
    threads: int = threads_option()


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
    scans: Scans,
    options: SegmentOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> list[Outcome]: ...


def segment(
    scans: AnyArray | Scans,
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
    return run_batch(batch, work, listener, dry_run=settled.dry_run)


def find_regions(
    scan: AnyArray | StrPath,
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


def _prepare(scans: Scans, options: SegmentOptions) -> tuple[Batch, SegmentWork]:
    from ratcli.batch.choosing import TaskChoice
    from ratcli.batch.memory import parse_bytes
    from ratcli.batch.pool import threads_each
    from ratcli.batch.segmenting import SegmentWork
    from ratcli.batch.session import Batch
    from ratcli.commands.segment import find_region_jobs

    work = SegmentWork(
        partition=options.partition or "",
        task=options.task,
        kind=options.format,
        reading=reading(options),
        any_values=options.any_values,
        device=options.device,
        threads=options.threads or threads_each(options.jobs),
        cache=options.cache.absolute() if options.cache else None,
        propagate=options.propagate,
        preview=options.preview,
        table=options.table,
        memory_bytes=parse_bytes(options.memory) if options.memory else 0,
    )
    place = selection(options, options, "_regions")
    if options.task is not None:
        place = replace(place, choice=TaskChoice((get_task(options.task),)))
    plan = find_region_jobs(
        paths_of(scans),
        place,
        options.format,
        work.beside,
    )
    libraries = {"numpy": None, "scikit-image": None}
    header = header_of("segment", options, {"partition": _partitions(work)}, libraries)
    return Batch(plan, header, batch_settings(options)), work


def _partitions(work: SegmentWork) -> str:
    """Return the partition that was named, or those of the tasks, for a manifest to compare."""
    tasks = TASKS.values() if work.task is None else (get_task(work.task),)
    return work.partition or ", ".join(task.partition for task in tasks)


def find_region_jobs(
    inputs: Sequence[Path],
    place: Selection,
    kind: str | None,
    beside: Callable[[Path], tuple[Path, ...]] = lambda output: (),
) -> Plan:
    """List the scans in the inputs, and a file for the region map of each.

    Args:
        inputs: files and folders that were named.
        place: which scans are wanted, and where outputs go.
        kind: format of the region maps; None for that of each scan.
        beside: returns the other files that are written with a region map.

    Raises:
        UsageError: the output's suffix is that of another format.
        OutputError: two inputs would have the same output.
        InputNotFoundError: the only input does not exist, or contains no scan.
    """
    from ratcli.formats.regions import SUFFIXES, region_format

    wanted = place.output
    suffix = split_name(wanted)[1].lower() if wanted and not wanted.is_dir() else ""
    if suffix and wanted is not None:
        plan = find_jobs(inputs, replace(place, output=None))
        job = _named(plan.jobs, wanted, suffix, kind)
        job = replace(job, beside=beside(job.output), is_folder=False)
        return Plan((job,), plan.outcomes)

    def regions_of(job: Job) -> Job:
        stem = job.output.name if job.source.is_folder else split_name(job.output)[0]
        stem = stem if stem.endswith("_regions") else f"{stem}_regions"
        output = job.output.with_name(stem + SUFFIXES[region_format(kind, job.source.format)])
        return replace(job, output=output, beside=beside(output), is_folder=False, reserved=())

    return find_jobs(inputs, place, regions_of)


def _named(jobs: Sequence[Job], wanted: Path, suffix: str, kind: str | None) -> Job:
    """Return the only job, with the output that was named."""
    if len(jobs) != 1:
        raise UsageError(
            f"{wanted.name} is one file, but there are {len(jobs)} scans",
            hint="Name a folder with -o.",
        )
    from ratcli.formats.regions import region_format

    kind = region_format(kind, jobs[0].source.format)
    fitting = {"dicom": (".dcm",), "nifti": (".nii.gz",), "tiff": (".tif", ".tiff")}[kind]
    if suffix not in fitting:
        raise UsageError(
            f"{wanted.name} ends in {suffix}, but the region map is {kind}",
            hint=f"Name it {wanted.name[: -len(suffix)]}{fitting[0]}, or choose another --format.",
        )
    return replace(jobs[0], output=wanted.absolute())
