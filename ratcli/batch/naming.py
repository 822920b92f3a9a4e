"""Names of outputs: no two outputs of a batch meet, and none lies inside another.

Every path that a job writes is claimed here before anything is computed. A job whose usual name
is taken gets a mark: a series of files `_series`, and after that everything a number.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ratcli.errors import OutputError

if TYPE_CHECKING:
    from ratcli.batch.plan import Job

Key = tuple[str, ...]
AnyJob = TypeVar("AnyJob", bound="Job")

_MARKED = re.compile(r"_series\d*$")


@dataclass(frozen=True)
class Unnamed:
    """A job that waits for its name.

    Attributes:
        root: the file or folder that was named on the command line.
        name_with: returns the job whose output has a mark in its name, as `_series`; the empty
            mark gives the usual name.
    """

    root: Path
    name_with: Callable[[str], Job]


def name_apart(unnamed: Sequence[Unnamed]) -> list[Job]:
    """Return the jobs in their order, each with names that no other job has.

    Names are compared without regard to case, since an output may go to a disk that has none.
    The deepest outputs are named first, so that it is the folder around them that gives way.

    Raises:
        OutputError: an output would take an input's place, or inputs that were named one by one
            would both be written to one place.
    """
    usual = [item.name_with("") for item in unnamed]
    claims = _Claims(file for job in usual for file in job.source.files)
    order = sorted(range(len(usual)), key=lambda number: _depth_and_kind(usual[number]))
    named: dict[int, Job] = {}
    for number in order:
        item, job = unnamed[number], usual[number]
        claims.refuse_inputs(job)
        claims.refuse_twin(job, item.root)
        marked = (job if not mark else item.name_with(mark) for mark in _marks(job))
        named[number] = next(job for job in marked if claims.take(job, item.root))
    return [named[number] for number in range(len(usual))]


def numbered(jobs: Iterable[AnyJob]) -> Iterator[AnyJob]:
    """Number the names that several jobs share, since a manifest goes by the name."""
    every = list(jobs)
    own, taken = {job.name for job in every}, set[str]()
    for job in every:
        name, again = job.name, 1
        while name in taken or (again > 1 and name in own):
            again += 1
            name = f"{job.name} ({again})"
        taken.add(name)
        yield job if name == job.name else replace(job, name=name)


def _depth_and_kind(job: Job) -> tuple[int, bool]:
    """Sort deep outputs before shallow ones, and files before folders."""
    return -len(job.output.parts), job.source.is_folder


def _marks(job: Job) -> Iterator[str]:
    yield ""
    mark = ""
    if job.source.is_folder and not _MARKED.search(job.source.name):
        mark = "_series"
        yield mark
    yield from (f"{mark}_{number}" for number in itertools.count(2))


class _Claims:
    """The paths that are taken.

    Args:
        inputs: all files that the batch reads.
    """

    def __init__(self, inputs: Iterable[Path]) -> None:
        self._inputs = {file.resolve() for file in inputs}
        self._input_folders = {folder for file in self._inputs for folder in file.parents}
        self._taken: dict[Key, tuple[Job, Path]] = {}
        self._folders: set[Key] = set()

    def take(self, job: Job, root: Path) -> bool:
        """Claim all paths of a job, or none if one of them is taken."""
        paths = [path.resolve() for path in job.names]
        keys = [_key(path) for path in paths]
        if any(self._is_input(path) for path in paths) or not all(map(self._is_free, keys)):
            return False
        for key in keys:
            self._taken[key] = (job, root)
            self._folders.update(key[:end] for end in range(1, len(key)))
        return True

    def refuse_inputs(self, job: Job) -> None:
        """Refuse a job whose usual output is an input, or a folder that holds one.

        Raises:
            OutputError: it is.
        """
        if any(self._is_input(path.resolve()) for path in (*job.outputs, *job.reserved)):
            raise OutputError(
                f"the output of {job.name} would overwrite an input",
                hint="Choose another output with -o.",
            )

    def refuse_twin(self, job: Job, root: Path) -> None:
        """Refuse a job whose usual output is that of something else named on the command line.

        Raises:
            OutputError: it is.
        """
        for path in (path.resolve() for path in job.outputs):
            other, from_where = self._taken.get(_key(path), (None, root))
            if other is None or from_where == root:
                continue
            if path in (taken.resolve() for taken in other.outputs):
                raise OutputError(
                    f"{other.name} and {job.name} would both be written to {path.name}",
                    hint="Name them in two calls, each with its own -o.",
                )

    def _is_input(self, path: Path) -> bool:
        return path in self._inputs or path in self._input_folders

    def _is_free(self, key: Key) -> bool:
        above = (key[:end] for end in range(1, len(key)))
        return (
            key not in self._taken
            and key not in self._folders
            and not any(folder in self._taken for folder in above)
        )


def _key(path: Path) -> Key:
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in path.parts)
