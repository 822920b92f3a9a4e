"""Where `rat segment` writes the region map of each scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ratcli.batch.plan import Job, Plan, Selection, find_jobs
from ratcli.errors import UsageError
from ratcli.formats import split_name


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
    from ratcli.formats.regions import SUFFIXES

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
        output = job.output.with_name(stem + SUFFIXES[kind or job.source.format])
        return replace(job, output=output, beside=beside(output), is_folder=False, reserved=())

    return find_jobs(inputs, place, regions_of)


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
