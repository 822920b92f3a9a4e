"""What a batch will read and write, settled before anything is computed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ratcli.batch.outcome import Outcome
from ratcli.errors import InputNotFoundError, OutputError, RatError
from ratcli.formats import ScanSource, find_scans, split_name

IfExists = Literal["error", "skip", "overwrite"]


@dataclass(frozen=True)
class Job:
    """One scan to read and one to write.

    Attributes:
        source: the scan.
        name: the input relative to what was named on the command line.
        output: the file or folder to write.
        overwrite: whether what has that name may be replaced.
        residual: where the difference to the input goes, None where it is not wanted.
    """

    source: ScanSource
    name: str
    output: Path
    overwrite: bool = False
    residual: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All that the job writes."""
        return (self.output,) if self.residual is None else (self.output, self.residual)


@dataclass(frozen=True)
class Selection:
    """Which scans are wanted, and where the outputs go.

    Attributes:
        suffix: ends the stem of an output beside its input, as `_ct-denoise`.
        output: file for one input file, folder for all else; None: beside each input.
        recursive: whether folders inside a folder are searched.
        series_uid: the only DICOM series wanted.
        residual: whether the difference to the input is written too.
    """

    suffix: str
    output: Path | None = None
    recursive: bool = False
    series_uid: str | None = None
    residual: bool = False


@dataclass(frozen=True)
class Plan:
    """The jobs of a batch, and what became of inputs that give none."""

    jobs: tuple[Job, ...]
    outcomes: tuple[Outcome, ...] = ()


def find_jobs(inputs: Sequence[Path], selection: Selection) -> Plan:
    """List the scans in the inputs and name their outputs.

    Args:
        inputs: files, folders or archives.
        selection: which scans, and where to.

    Returns:
        A job for each scan; of several inputs, a failure for each that cannot be read.

    Raises:
        InputNotFoundError: the only input is not there, or holds no scan.
        UnreadableInputError: the only input is of a kind that is not read.
        OutputError: two inputs meet in one output, or an output would take an input's place.
    """
    jobs: list[Job] = []
    failures: list[Outcome] = []
    for path in inputs:
        try:
            jobs += _jobs_of(path, selection, alone=len(inputs) == 1)
        except RatError as error:
            if len(inputs) == 1:
                raise
            failures.append(Outcome.failure(path.name or str(path), error))
    _refuse_collisions(jobs)
    return Plan(tuple(_told_apart(jobs)), tuple(failures))


def settle_existing(plan: Plan, if_exists: IfExists) -> Plan:
    """Decide about outputs that are there already.

    Raises:
        OutputError: some are, and `if_exists` is `error`.
    """
    if if_exists == "overwrite":
        return Plan(tuple(replace(job, overwrite=True) for job in plan.jobs), plan.outcomes)
    taken = [
        job for job in plan.jobs if not job.overwrite and any(map(os.path.lexists, job.outputs))
    ]
    if not taken:
        return plan
    if if_exists == "skip":
        skipped = [
            Outcome(job.name, "skipped", output=str(job.output), error="the output exists")
            for job in taken
        ]
        left = tuple(job for job in plan.jobs if job not in taken)
        return Plan(left, (*plan.outcomes, *skipped))
    others = f", and so do {len(taken) - 1} other outputs" if len(taken) > 1 else ""
    raise OutputError(
        f"{taken[0].output.name} exists already{others}",
        hint="Choose another place with -o, or --if-exists skip or overwrite.",
    )


def _is_taken(job: Job) -> bool:
    return not job.overwrite and any(os.path.lexists(path) for path in job.outputs)


def _told_apart(jobs: Sequence[Job]) -> Iterator[Job]:
    """Number the names that several inputs share, since a manifest goes by the name."""
    seen: Counter[str] = Counter()
    for job in jobs:
        seen[job.name] += 1
        again = seen[job.name]
        yield job if again == 1 else replace(job, name=f"{job.name} ({again})")


def _jobs_of(path: Path, selection: Selection, *, alone: bool) -> Iterator[Job]:
    sources = find_scans(path, recursive=selection.recursive, series_uid=selection.series_uid)
    if path.is_dir():
        found = sources
        sources = [source for source in found if not _is_own_output(source, path, selection)]
        if not sources:
            raise InputNotFoundError(
                f"{path.resolve().name} holds nothing but outputs of earlier runs"
            )
    for source in sources:
        relative = _relative_folder(source, path)
        name = (relative / (source.name + source.suffix)).as_posix()
        output = _output(source, relative, path, selection, alone)
        residual = _residual(output, source) if selection.residual else None
        yield Job(source, name, output, residual=residual)


def _is_own_output(source: ScanSource, root: Path, selection: Selection) -> bool:
    """Tell whether a scan found in a folder is what an earlier run wrote there."""
    if selection.output is not None:
        return selection.output.resolve() in source.files[0].resolve().parents and (
            selection.output.resolve() != root.resolve()
        )
    inside = source.files[0].resolve().relative_to(root.resolve()).parts[:-1]
    names = inside if _is_series_folder(source) else (*inside, source.name)
    return any(name.endswith(selection.suffix) for name in names)


def _relative_folder(source: ScanSource, path: Path) -> Path:
    """Return the folder that a scan lies in, relative to the folder that was named."""
    if not path.is_dir():
        return Path()
    holder = source.folder.parent if _is_series_folder(source) else source.folder
    root = path.absolute()
    return holder.relative_to(root) if holder.is_relative_to(root) else Path()


def _is_series_folder(source: ScanSource) -> bool:
    """Tell whether a scan is a folder on disk, and not an archive."""
    return source.is_folder and source.files[0] in source.paths


def _output(
    source: ScanSource, relative: Path, path: Path, selection: Selection, alone: bool
) -> Path:
    if selection.output is None:
        holder = source.folder.parent if _is_series_folder(source) else source.folder
        return holder / f"{source.name}{selection.suffix}{source.suffix}"
    is_file = alone and not path.is_dir() and not source.is_folder
    if is_file and not selection.output.is_dir():
        return selection.output.absolute()
    return selection.output.absolute() / relative / (source.name + source.suffix)


def _residual(output: Path, source: ScanSource) -> Path:
    stem = output.name if source.is_folder else split_name(output)[0]
    return output.with_name(f"{stem}_residual{output.name[len(stem) :]}")


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    inputs = {file.resolve() for job in jobs for file in job.source.files}
    folders = {folder for file in inputs for folder in file.parents}
    seen: dict[str, Job] = {}
    for job in jobs:
        for output in (path.resolve() for path in job.outputs):
            if output in inputs or output in folders:
                raise OutputError(
                    f"the output of {job.name} would take the place of an input",
                    hint="Choose another place with -o.",
                )
            other = seen.setdefault(os.path.normcase(output), job)
            if other is not job:
                raise OutputError(
                    f"{other.name} and {job.name} would both be written to {output.name}",
                    hint="Restore them in two calls, each with its own -o.",
                )
