"""`rat segment`: region maps of scans, as DICOM SEG, NIfTI or TIFF labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratcli.cli import options
from ratcli.cli.config import Config
from ratcli.cli.console import Talk, talking
from ratcli.errors import OutputError, UsageError
from ratcli.tasks import get_task

if TYPE_CHECKING:
    from ratcli.batch.plan import Job, Plan

app = typer.Typer(add_completion=False)


class Kind(str, Enum):
    """Formats of region maps."""

    DICOM = "dicom"
    NIFTI = "nifti"
    TIFF = "tiff"


Format = Annotated[
    Kind | None,
    typer.Option(
        "--format", help="Format of the region map. Without it, the scan's.", show_default=False
    ),
]
Preview = Annotated[
    bool, typer.Option("--preview", help="Draw the regions over the planes, as PNG.")
]
WithTable = Annotated[
    bool, typer.Option("--table", help="Write area, mean and deviation of each region, as CSV.")
]
Propagate = Annotated[
    bool, typer.Option("--propagate", help="Let a region keep its number from plane to plane.")
]


@app.command(
    epilog=options.examples(
        ("rat segment scan.dcm", "writes scan_regions.dcm, a DICOM SEG, beside it"),
        ("rat segment ct.nii.gz --unit HU --preview --table", "with pictures and a table"),
        ("rat segment series/ --format nifti --propagate -o r.nii.gz", "one number a region"),
        ("rat restore scan.dcm -t ct-denoise --regions scan_regions.dcm", "takes it back"),
    )
)
def segment(
    inputs: options.Inputs,
    output: options.Output = None,
    if_exists: options.IfThere = options.IfExists.ERROR,
    partition: options.Partition = None,
    kind: Format = None,
    preview: Preview = False,
    with_table: WithTable = False,
    propagate: Propagate = False,
    cache: options.Cache = None,
    task: options.TaskName = None,
    unit: options.Unit = None,
    recursive: options.Recursive = False,
    series_uid: options.SeriesUid = None,
    max_pixels: options.MaxPixels = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    jobs: options.Jobs = 1,
    scheduler: options.Scheduler = "",
    manifest: options.ManifestFile = None,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    fail_fast: options.FailFast = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
    no_progress: options.NoProgress = False,
    log_file: options.LogFile = None,
    config: Config = None,
) -> None:
    """Find the regions of scans; each gets a region map on its own grid."""
    talk = Talk(quiet, verbose, not no_progress, log_file, debug)
    with talking(talk):
        from ratcli.batch.manifest import Header
        from ratcli.batch.plan import Selection
        from ratcli.batch.pool import threads_each
        from ratcli.batch.segmenting import SegmentWork, segment_header
        from ratcli.batch.session import Batch, BatchSettings
        from ratcli.cli.batching import run_batch, tell_plan
        from ratcli.formats.limits import DEFAULT_MAX_PIXELS

        usual = get_task(task).partition if task else "superpixel"
        options.check_partition(partition or usual)
        work = SegmentWork(
            partition=partition or usual,
            task=task,
            kind=kind.value if kind else None,
            unit=unit,
            device=device,
            threads=threads or threads_each(jobs),
            cache=cache.absolute() if cache else None,
            propagate=propagate,
            preview=preview,
            table=with_table,
            max_pixels=max_pixels or DEFAULT_MAX_PIXELS,
        )
        plan = find_region_jobs(
            inputs,
            Selection("_regions", output, recursive, series_uid),
            kind.value if kind else None,
            work.beside,
        )
        how = BatchSettings(if_exists.value, manifest, resume, jobs, scheduler, fail_fast)
        header = segment_header(work) if manifest is not None else Header()
        run = tell_plan if dry_run else run_batch
        run(Batch(plan, header, how), work, talk, as_json=as_json)


def find_region_jobs(
    inputs: Sequence[Path],
    place: object,
    kind: str | None,
    beside: Callable[[Path], tuple[Path, ...]] = lambda output: (),
) -> Plan:
    """List the scans in the inputs, and a file for the region map of each.

    Args:
        inputs: what was named on the command line.
        place: a `Selection`.
        kind: format of the region maps; None for that of each scan.
        beside: tells what is written beside a region map.

    Raises:
        UsageError: the output's suffix is that of another format.
        OutputError: two inputs meet in one output.
        InputNotFoundError: the only input is not there, or holds no scan.
    """
    from ratcli.batch.plan import Plan, Selection, find_jobs
    from ratcli.formats import split_name
    from ratcli.formats.regions import SUFFIXES

    assert isinstance(place, Selection)
    wanted = place.output
    suffix = split_name(wanted)[1].lower() if wanted and not wanted.is_dir() else ""
    plan = find_jobs(inputs, replace(place, output=None) if suffix else place)
    if suffix and wanted is not None:
        job = _named(plan.jobs, wanted, suffix, kind)
        return Plan((replace(job, beside=beside(job.output)),), plan.outcomes)
    jobs = []
    for job in plan.jobs:
        stem = job.output.name if job.source.is_folder else split_name(job.output)[0]
        stem = stem if stem.endswith("_regions") else f"{stem}_regions"
        name = stem + SUFFIXES[kind or job.source.format]
        output = job.output.with_name(name)
        jobs.append(replace(job, output=output, beside=beside(output)))
    _refuse_meeting(jobs)
    return Plan(tuple(jobs), plan.outcomes)


def _named(jobs: Sequence[Job], wanted: Path, suffix: str, kind: str | None) -> Job:
    """Return the only job, with the output that was named."""
    if len(jobs) != 1:
        raise UsageError(
            f"{wanted.name} is one file, but there are {len(jobs)} scans",
            hint="Name a folder with -o.",
        )
    kind = kind or jobs[0].source.format
    fitting = {"dicom": (".dcm",), "nifti": (".nii.gz",), "tiff": (".tif", ".tiff")}[kind]
    if suffix not in fitting:
        raise UsageError(
            f"{wanted.name} ends in {suffix}, but the region map is {kind}",
            hint=f"Name it {wanted.name[: -len(suffix)]}{fitting[0]}, or choose another --format.",
        )
    return replace(jobs[0], output=wanted.absolute())


def _refuse_meeting(jobs: Sequence[Job]) -> None:
    seen: dict[Path, Job] = {}
    for job in jobs:
        for path in job.claims:
            other = seen.setdefault(path, job)
            if other is not job:
                raise OutputError(
                    f"{other.name} and {job.name} would both be written to {path.name}",
                    hint="Segment them in two calls, each with its own -o.",
                )
