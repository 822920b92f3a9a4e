"""The plan of a batch: what it reads and writes, decided before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ratcli.batch.choosing import TaskChoice, choose_tasks
from ratcli.batch.digest import files_digest, output_digest
from ratcli.batch.found import (
    BESIDE,
    NO_INPUTS,
    Found,
    find_inputs,
    without_localizers,
    without_results,
)
from ratcli.batch.naming import Unnamed, name_apart, numbered
from ratcli.batch.outcome import Outcome
from ratcli.errors import InputNotFoundError, UsageError
from ratcli.formats import ScanSource, part_names, split_name
from ratcli.scan import ScanInfo
from ratcli.task import Task

_SUFFIXES = {
    "dicom": (".dcm", ".dicom", ".ima"),
    "nifti": (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"),
    "tiff": (".tif", ".tiff", ".ome.tif", ".ome.tiff", ".ome.btf", ".btf", ".svs"),
    "picture": (".png",),
}


@dataclass(frozen=True)
class Job:
    """One scan to read and one to write.

    Attributes:
        source: the scan.
        name: the input relative to what was named on the command line.
        output: the file or folder to write.
        overwrite: whether what has that name may be replaced.
        residual: where the difference to the input goes, None where it is not wanted.
        uncertainty: where standard deviations go, None where they are not wanted.
        beside: what else the job may write, as pictures and tables.
        is_folder: whether the outputs are folders of files.
        reserved: names that the job may need for parts of its outputs, as levels of a slide.
        task: the task that was found for the scan; None if no task was to be found.
        base: folder below which messages name the output: the working folder, or one that was
            named; no folder above it is shown.
    """

    source: ScanSource
    name: str
    output: Path
    overwrite: bool = False
    residual: Path | None = None
    uncertainty: Path | None = None
    beside: tuple[Path, ...] = ()
    is_folder: bool = False
    reserved: tuple[Path, ...] = ()
    task: Task | None = None
    base: Path = Path()

    @property
    def shown(self) -> str:
        """The output as messages and manifests name it; empty for a job that writes none."""
        if not self.outputs:
            return ""
        is_below = self.output.is_relative_to(self.base)
        return (
            self.output.relative_to(self.base) if is_below else Path(self.output.name)
        ).as_posix()

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All scans that the job writes."""
        every = (self.output, self.residual, self.uncertainty)
        return tuple(path for path in every if path is not None)

    @property
    def claims(self) -> tuple[Path, ...]:
        """All names that the job needs for itself."""
        return (*self.outputs, *self.beside)

    @property
    def names(self) -> tuple[Path, ...]:
        """All names that no other job may use."""
        return (*self.claims, *self.reserved)

    @property
    def output_text(self) -> str:
        """The output as outcomes name it; empty for a job that writes none."""
        return str(self.output) if self.outputs else ""

    def notices(self, info: ScanInfo) -> tuple[str, ...]:
        """Return what is unusual about the scan, each sentence once.

        Args:
            info: what its reader tells.
        """
        return tuple(dict.fromkeys((*self.source.notices, *info.notices)))

    def inputs_digest(self) -> str:
        """Return the SHA-256 of all that is read: another one means that the result is outdated."""
        return files_digest(files_read(self.source))

    def output_digests(self) -> dict[str, str]:
        """Return the SHA-256 of each file and folder that was written, by its name."""
        every = (*self.outputs, *self.names)
        return {path.name: output_digest(path) for path in every if path.exists()}


def files_read(source: ScanSource) -> list[Path]:
    """Return all files that are read of a scan: both of a pair of header and voxels."""
    parts = [part for path in source.files for part in part_names(source, path, levels=False)]
    return [*source.files, *(part for part in parts if part.is_file())]


@dataclass(frozen=True)
class Selection:
    """Which scans are wanted, and where the outputs go.

    Attributes:
        suffix: ends the stem of an output beside its input, as `_simulated`; `{task}` in it stands
            for the name of the task.
        output: file (with a suffix) for one input file, folder for all else; None: beside each
            input.
        recursive: whether folders inside a folder are searched.
        series_uid: the only DICOM series wanted.
        residual: whether the difference to the input is written too.
        uncertainty: whether standard deviations are written too.
        levels: whether a DICOM slide is written with coarser levels beside it, if the task makes
            it finer.
        choice: gives each scan its task; None if scans are worked on without one.
        localizers: whether localizers (scouts) are wanted.
        no_inputs: commands of `rat` whose results are left out of a folder with other scans.
    """

    suffix: str
    output: Path | None = None
    recursive: bool = False
    series_uid: str | None = None
    residual: bool = False
    uncertainty: bool = False
    levels: bool = False
    choice: TaskChoice | None = None
    localizers: bool = False
    no_inputs: tuple[str, ...] = NO_INPUTS

    def suffix_of(self, task: Task | None) -> str:
        """Return the suffix of outputs of a task."""
        return self.suffix.format(task=task.name if task is not None else "")


@dataclass(frozen=True)
class Plan:
    """The jobs of a batch, and the outcomes of inputs that give no job."""

    jobs: tuple[Job, ...]
    outcomes: tuple[Outcome, ...] = ()


def find_jobs(
    inputs: Sequence[Path],
    selection: Selection,
    adapt: Callable[[Job], Job] = lambda job: job,
) -> Plan:
    """List the scans in the inputs and name their outputs; see `find_inputs` and `name_apart`.

    Args:
        inputs: files, folders or archives.
        selection: which scans are wanted, and where the outputs go.
        adapt: changes the outputs of a job before their names are compared.

    Raises:
        InputNotFoundError: the only input is not there, or holds no scan.
        UnreadableInputError: the only input is of a kind that is not read.
        OutputError: two inputs meet in one output, or an output would take an input's place.
    """
    found, wanted, left_out = _find(inputs, selection)
    chosen, without_task = choose_tasks(wanted, selection.choice)
    tasks = {scan.source.paths: scan.task for scan in chosen}
    alone = len(inputs) == 1

    def unnamed(scan: Found) -> Unnamed:
        scan = replace(scan, task=tasks.get(scan.source.paths))
        return Unnamed(scan.root, lambda mark: adapt(_job(scan, selection, mark, alone=alone)))

    # A scan that is left out gets a name as well, so that the others have theirs in every run.
    jobs = name_apart([unnamed(scan) for scan in found])
    jobs = [job for job in jobs if job.source.paths in tasks]
    return Plan(tuple(numbered(jobs)), (*left_out, *without_task))


def _find(
    inputs: Sequence[Path], selection: Selection
) -> tuple[list[Found], list[Found], list[Outcome]]:
    """Return the scans that get a name, those of them that are wanted, and other outcomes."""
    wanted, failures = find_inputs(
        inputs, recursive=selection.recursive, series_uid=selection.series_uid
    )
    all_found = wanted
    if selection.series_uid is not None:  # so that a series has the same name in every run
        named = {scan.source.paths: scan for scan in wanted}
        others, _ = find_inputs(inputs, recursive=selection.recursive)
        all_found = [named.get(scan.source.paths, scan) for scan in others]
    found = [scan for scan in all_found if not scan.is_in(selection.output)]
    if all_found and not found:
        raise InputNotFoundError("there are only outputs of earlier runs")
    found, results = without_results(found, selection.no_inputs)
    results = results if selection.series_uid is None else []
    known = {scan.source.paths for scan in found}
    wanted = [scan for scan in wanted if scan.source.paths in known]
    wanted, localizers = without_localizers(wanted, selection.localizers)
    return found, wanted, [*failures, *results, *localizers]


def _job(found: Found, selection: Selection, mark: str, *, alone: bool) -> Job:
    source, wanted = found.source, selection.output
    if wanted is None:
        name = f"{source.name}{mark}{selection.suffix_of(found.task)}{source.output_suffix}"
        output = found.holder / name
    elif alone and not found.is_in_folder and _is_file_name(wanted, source):
        output = wanted.absolute()
    else:
        usual = wanted.absolute() / found.name
        output = usual.with_name(f"{source.name}{mark}{source.output_suffix}")
    residual, uncertainty = (_beside(output, source, end) for end in BESIDE)
    job = Job(
        source,
        found.name,
        output,
        residual=residual if selection.residual else None,
        uncertainty=uncertainty if selection.uncertainty else None,
        is_folder=source.is_folder,
        task=found.task if selection.choice and selection.choice.is_open else None,
        base=_base(found, wanted),
    )
    levels = selection.levels and (found.task is None or found.task.scale > 1)
    reserved = (part for path in job.outputs for part in part_names(source, path, levels))
    return replace(job, reserved=tuple(reserved))


def _base(found: Found, wanted: Path | None) -> Path:
    """Return the folder below which messages name an output."""
    if wanted is None:
        return found.root.absolute()
    wanted, here = wanted.absolute(), Path.cwd()
    return here if wanted.is_relative_to(here) else wanted.parent


def _is_file_name(wanted: Path, source: ScanSource) -> bool:
    """Return whether the output that was named is a file. A folder exists or has no suffix.

    Raises:
        UsageError: its suffix is that of another format.
    """
    if source.is_folder or wanted.is_dir():
        return False
    suffix = split_name(wanted)[1].lower()
    if suffix and suffix not in _SUFFIXES[source.format]:
        raise UsageError(
            f"{wanted.name} ends in {suffix}, but the output is "
            f"{'PNG' if source.format == 'picture' else f'{source.format}, like the input'}",
            hint=f"Name it {wanted.name[: -len(suffix)]}{source.output_suffix}.",
        )
    return bool(wanted.suffix) or not source.output_suffix


def _beside(output: Path, source: ScanSource, end: str) -> Path:
    stem = output.name if source.is_folder else split_name(output)[0]
    return output.with_name(f"{stem}{end}{output.name[len(stem) :]}")
