"""The plan of a batch: what it reads and writes, decided before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ratcli.batch.digest import files_digest
from ratcli.batch.naming import Unnamed, name_apart, numbered
from ratcli.batch.outcome import Outcome
from ratcli.errors import InputNotFoundError, PartialFailureError, RatError, UsageError
from ratcli.formats import LeftOut, ScanSource, find_scans, part_names, split_name
from ratcli.scan import ScanInfo

_SUFFIXES = {
    "dicom": (".dcm", ".dicom", ".ima"),
    "nifti": (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"),
    "tiff": (".tif", ".tiff", ".ome.tif", ".ome.tiff", ".ome.btf", ".btf", ".svs"),
}

# What is written beside an output has its name, and one of these.
_BESIDE = ("_residual", "_uncertainty")


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
        return files_digest(self.source.files)


@dataclass(frozen=True)
class Selection:
    """Which scans are wanted, and where the outputs go.

    Attributes:
        suffix: ends the stem of an output beside its input, as `_ct-denoise`.
        output: file (with a suffix) for one input file, folder for all else; None: beside each
            input.
        recursive: whether folders inside a folder are searched.
        series_uid: the only DICOM series wanted.
        residual: whether the difference to the input is written too.
        uncertainty: whether standard deviations are written too.
        levels: whether a DICOM slide is written with coarser levels beside it.
    """

    suffix: str
    output: Path | None = None
    recursive: bool = False
    series_uid: str | None = None
    residual: bool = False
    uncertainty: bool = False
    levels: bool = False


@dataclass(frozen=True)
class Found:
    """A scan, and what was named on the command line to find it.

    Attributes:
        source: the scan.
        root: the file or folder that was named.
    """

    source: ScanSource
    root: Path

    @property
    def is_in_folder(self) -> bool:
        """Whether a folder was named, and not the scan itself."""
        return self.root.is_dir()

    @property
    def holder(self) -> Path:
        """The folder that holds the scan, which is a file or itself a folder."""
        return self.source.folder.parent if self._is_folder_on_disk else self.source.folder

    @property
    def name(self) -> str:
        """The scan's name relative to the folder that was named."""
        own = self.source.name + self.source.suffix
        root = self.root.absolute()
        if not self.is_in_folder or not self.holder.is_relative_to(root):
            return own
        return (self.holder.relative_to(root) / own).as_posix()

    def is_own_output(self, selection: Selection) -> bool:
        """Return whether an earlier run wrote this scan into the folder that is searched."""
        if not self.is_in_folder:
            return False
        file, root = self.source.files[0].resolve(), self.root.resolve()
        if selection.output is not None:
            output = selection.output.resolve()
            return output in file.parents and output != root
        inside = file.relative_to(root).parts[:-1]
        names = inside if self._is_folder_on_disk else (*inside, self.source.name)
        ends = tuple(selection.suffix + end for end in ("", *_BESIDE))
        return any(name.endswith(ends) for name in names)

    @property
    def _is_folder_on_disk(self) -> bool:
        return self.source.is_folder and self.source.files[0] in self.source.paths


@dataclass(frozen=True)
class Plan:
    """The jobs of a batch, and the outcomes of inputs that give no job."""

    jobs: tuple[Job, ...]
    outcomes: tuple[Outcome, ...] = ()


def find_inputs(
    inputs: Sequence[Path], *, recursive: bool = False, series_uid: str | None = None
) -> tuple[list[Found], list[Outcome]]:
    """List the scans in what was named.

    Args:
        inputs: files, folders or archives.
        recursive: whether folders inside a folder are searched.
        series_uid: the only DICOM series wanted.

    Returns:
        The scans; and outcomes: a failure for each of several inputs that cannot be read, and one
        for each file that belongs to a scan but is not restored with it.

    Raises:
        InputNotFoundError: the only input is not there, or holds no scan.
        UnreadableInputError: the only input is of a kind that is not read.
    """
    found: list[Found] = []
    failures: list[Outcome] = []
    for path in inputs:
        try:
            sources = find_scans(path, recursive=recursive, series_uid=series_uid)
        except RatError as error:
            if len(inputs) == 1:
                raise
            failures.append(Outcome.failure(path.name or str(path), error))
        else:
            found += [Found(source, path) for source in sources]
            failures += [_left_out(file, path) for source in sources for file in source.left_out]
    return found, failures


def _left_out(file: LeftOut, root: Path) -> Outcome:
    """Return the outcome of a file that is not restored; its code makes the batch end with 8."""
    place = file.path.absolute()
    is_inside = place.is_relative_to(root.absolute()) and place != root.absolute()
    name = place.relative_to(root.absolute()).as_posix() if is_inside else place.name
    return Outcome(name, "skipped", error=file.reason, exit_code=PartialFailureError.exit_code)


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
    wanted, failures = find_inputs(
        inputs, recursive=selection.recursive, series_uid=selection.series_uid
    )
    all_found = wanted
    if selection.series_uid is not None:  # so that a series has the same name in every run
        all_found, _ = find_inputs(inputs, recursive=selection.recursive)
    found = [scan for scan in all_found if not scan.is_own_output(selection)]
    if all_found and not found:
        raise InputNotFoundError("there are only outputs of earlier runs")
    alone = len(inputs) == 1

    def unnamed(scan: Found) -> Unnamed:
        return Unnamed(scan.root, lambda mark: adapt(_job(scan, selection, mark, alone=alone)))

    jobs = name_apart([unnamed(scan) for scan in found])
    named = {scan.source.paths for scan in wanted}
    jobs = [job for job in jobs if job.source.paths in named]
    return Plan(tuple(numbered(jobs)), tuple(failures))


def _job(found: Found, selection: Selection, mark: str, *, alone: bool) -> Job:
    source, wanted = found.source, selection.output
    if wanted is None:
        output = found.holder / f"{source.name}{mark}{selection.suffix}{source.suffix}"
    elif alone and not found.is_in_folder and _is_file_name(wanted, source):
        output = wanted.absolute()
    else:
        usual = wanted.absolute() / found.name
        output = usual.with_name(f"{source.name}{mark}{source.suffix}")
    residual, uncertainty = (_beside(output, source, end) for end in _BESIDE)
    job = Job(
        source,
        found.name,
        output,
        residual=residual if selection.residual else None,
        uncertainty=uncertainty if selection.uncertainty else None,
        is_folder=source.is_folder,
    )
    reserved = (part for path in job.outputs for part in part_names(source, path, selection.levels))
    return replace(job, reserved=tuple(reserved))


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
            f"{wanted.name} ends in {suffix}, but the output is {source.format}, like the input",
            hint=f"Name it {wanted.name[: -len(suffix)]}{source.suffix}.",
        )
    return bool(wanted.suffix) or not source.suffix


def _beside(output: Path, source: ScanSource, end: str) -> Path:
    stem = output.name if source.is_folder else split_name(output)[0]
    return output.with_name(f"{stem}{end}{output.name[len(stem) :]}")
