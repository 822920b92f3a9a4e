"""The scans in what the user named, before it is decided what is done with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ratcli.batch.outcome import Outcome
from ratcli.errors import InputNotFoundError, PartialFailureError, RatError
from ratcli.formats import LeftOut, ScanSource, find_scans
from ratcli.formats.history import result_of
from ratcli.task import Task

# What is written beside an output has its name, and one of these.
BESIDE = ("_residual", "_uncertainty")

NO_INPUTS = ("restore", "segment")
"""Commands whose results are left out of a search; what was simulated is to be restored."""


@dataclass(frozen=True)
class Found:
    """A scan, and what was named on the command line to find it.

    Attributes:
        source: the scan.
        root: the file or folder that was named.
        is_named: whether the scan itself was named, and not a folder or an archive around it.
        task: the task for the scan; None if it is worked on without one.
    """

    source: ScanSource
    root: Path
    is_named: bool = False
    task: Task | None = None

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
        if self.source.is_broken:
            own = self.source.paths[0].name
        root = self.root.absolute()
        if not self.is_in_folder or not self.holder.is_relative_to(root):
            return own
        return (self.holder.relative_to(root) / own).as_posix()

    @property
    def place(self) -> str:
        """The name without the suffix."""
        return self.name.removesuffix(self.source.suffix)

    def is_in(self, output: Path | None) -> bool:
        """Return whether this scan lies in the folder for outputs, inside the one searched.

        Args:
            output: the folder for outputs; None if they are beside the inputs.
        """
        if not self.is_in_folder or output is None:
            return False
        folder = output.resolve()
        is_inside = folder in self.source.files[0].resolve().parents
        return is_inside and folder != self.root.resolve()

    @property
    def _is_folder_on_disk(self) -> bool:
        return self.source.is_folder and self.source.files[0] in self.source.paths


def find_inputs(
    inputs: Sequence[Path],
    *,
    recursive: bool = False,
    series_uid: str | None = None,
    deeper: bool = False,
) -> tuple[list[Found], list[Outcome]]:
    """List the scans in what was named.

    Args:
        inputs: files, folders or archives.
        recursive: whether folders inside a folder are searched.
        deeper: whether they are searched if the folder itself holds no scan.
        series_uid: the only DICOM series wanted.

    Returns:
        The scans; and outcomes: a failure for each of several inputs that cannot be read, and one
        for what is left out.

    Raises:
        InputNotFoundError: the only input is not there, or holds no scan.
        UnreadableInputError: the only input is of a kind that is not read.
    """
    found: list[Found] = []
    failures: list[Outcome] = []
    for path in inputs:
        try:
            sources = _find(path, recursive, series_uid, deeper=deeper)
        except RatError as error:
            if len(inputs) == 1:
                raise
            failures.append(Outcome.failure(path.name or str(path), error))
        else:
            for source in sources:
                is_named = series_uid is not None or source.paths[0] == path.absolute()
                found.append(Found(source, path, is_named))
            failures += [_left_out(file, path) for source in sources for file in source.left_out]
    return found, failures


def without_localizers(
    found: Iterable[Found], are_wanted: bool
) -> tuple[list[Found], list[Outcome]]:
    """Leave out localizers (scouts), unless they are wanted, or alone in what was named.

    Returns:
        The other scans; and the outcomes of those that are left out.
    """
    every = list(found)
    roots = {scan.root for scan in every if not scan.source.is_localizer}
    roots = set() if are_wanted else roots
    left_out = [scan for scan in every if scan.source.is_localizer and scan.root in roots]
    reason = "was left out: it is a localizer (scout); --include-localizers keeps it"
    outcomes = [Outcome(one.name, "left out", error=f"{one.name} {reason}") for one in left_out]
    return [scan for scan in every if scan not in left_out], outcomes


def _find(path: Path, recursive: bool, uid: str | None, *, deeper: bool) -> list[ScanSource]:
    try:
        return find_scans(path, recursive=recursive, series_uid=uid)
    except InputNotFoundError:
        if recursive or not deeper or not path.is_dir():
            raise
        return find_scans(path, recursive=True, series_uid=uid)


def without_results(
    found: Sequence[Found], kinds: Sequence[str]
) -> tuple[list[Found], list[Outcome]]:
    """Leave out what `rat` made, unless it was named, or is alone in what was named.

    Args:
        found: the scans.
        kinds: commands whose results are left out; see `result_of`.

    Returns:
        The other scans; and an outcome for each place that was named.
    """
    searched = (scan for scan in found if not scan.is_named)
    made = {scan for scan in searched if result_of(scan.source) in kinds}
    roots = {scan.root for scan in found if scan not in made}
    left_out: dict[Path, list[Found]] = defaultdict(list)
    for scan in found:
        if scan in made and scan.root in roots:
            left_out[scan.root].append(scan)
    kept = [scan for scan in found if scan not in made or scan.root not in roots]
    return kept, [_results(scans) for scans in left_out.values()]


def _results(scans: Sequence[Found]) -> Outcome:
    first, more = scans[0].name, len(scans) - 1
    what = f"{first} and {more} more are results" if more else f"{first} is a result"
    reason = f"{what} of rat, left out beside other scans; name {'one' if more else 'it'} to use it"
    return Outcome(first, "left out", error=reason)


def _left_out(file: LeftOut, root: Path) -> Outcome:
    """Return the outcome of a file that is not restored; if a scan lacks it, the code is 8."""
    place = file.path.absolute()
    is_inside = place.is_relative_to(root.absolute()) and place != root.absolute()
    name = place.relative_to(root.absolute()).as_posix() if is_inside else place.name
    exit_code = 0 if file.is_usual else PartialFailureError.exit_code
    return Outcome(name, "left out", error=file.reason, exit_code=exit_code)
