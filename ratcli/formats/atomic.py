"""Files and folders written under a temporary name, and renamed when they are complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ratcli.errors import OutputError, reason_of

PARTIAL_SUFFIX = ".rat-partial"
"""End of a temporary name; a run that was killed may leave such a file behind."""


_LONGEST_STEM = 200
"""Bytes of a name that are kept in a hidden one; most file systems take 255 in all."""


def hidden_stem(final: Path) -> str:
    """Return how hidden names for an output begin: no other output of the folder has the same.

    A long name is cut after some bytes, and ends with a hash of the whole name.
    """
    name = os.fsencode(final.name)
    if len(name) <= _LONGEST_STEM:
        return f".{final.name}"
    mark = f"~{hashlib.sha256(name).hexdigest()[:16]}"
    return f".{name[: _LONGEST_STEM - len(mark)].decode(errors='ignore')}{mark}"


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into an OutputError that names the output.

    Raises:
        OutputError: the disk is full, the folder is read-only or missing.
    """
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        raise OutputError(f"{path.name} cannot be written: {reason}") from error


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a final name that is taken.

    Raises:
        OutputError: something has that name, and overwriting was not allowed.
    """
    if not overwrite and os.path.lexists(path):
        raise OutputError(
            f"{path.name} already exists",
            hint="Choose another name, or give --if-exists skip or --if-exists overwrite.",
        )


def refuse_input(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse to write over an input, or to replace a folder or archive that holds one.

    Raises:
        OutputError: the output is an input.
    """
    final = path.resolve()
    for source in inputs:
        own = source.resolve()
        is_link = path.exists() and source.exists() and path.samefile(source)
        if is_link or final == own or final in own.parents:
            raise OutputError(f"{path.name} is the input itself", hint="Choose another name.")


def strange_entries(folder: Path) -> list[Path]:
    """Return what a folder of files would not hold: folders in it, or a file in its place.

    Args:
        folder: the name of an output that is a folder of files; it may not exist.
    """
    if not folder.is_dir():
        return [folder] if os.path.lexists(folder) else []
    return [path for path in folder.iterdir() if path.is_dir()]


def refuse_strangers(folder: Path, strangers: Sequence[Path]) -> None:
    """Refuse to replace a folder that holds something else.

    Args:
        folder: the output.
        strangers: what it holds that is not an older version of the output.

    Raises:
        OutputError: there is something.
    """
    if strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise OutputError(
            f"{folder.name} holds what is not of this scan ({strangers[0].name}{more}), "
            f"so it is not replaced",
            hint="Move that away, or choose another place with -o.",
        )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, if the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Partial:
    """The common part of the two classes below."""

    def __init__(self, final: Path, *, overwrite: bool = False) -> None:
        check_free(final, overwrite=overwrite)
        self.final = final
        self._overwrite = overwrite
        name = f"{hidden_stem(final)}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
        self.path = final.parent / name


class PartialFile(_Partial):
    """A file with a temporary name: write to `path`, then `commit`, or `discard` on any error.

    Args:
        final: the name the file gets; its folder is made if it is not there.
        overwrite: whether a file of that name may be replaced.

    Raises:
        OutputError: the name is taken, or the folder cannot be made.
    """

    def __init__(self, final: Path, *, overwrite: bool = False) -> None:
        super().__init__(final, overwrite=overwrite)
        with output_errors(final):
            final.parent.mkdir(parents=True, exist_ok=True)

    def commit(self) -> None:
        """Bring the file to the disk and give it its final name.

        Raises:
            OutputError: it cannot be written, or another file got that name in the meantime.
        """
        try:
            with output_errors(self.final):
                _sync_file(self.path)
                check_free(self.final, overwrite=self._overwrite)
                self.path.replace(self.final)
                sync_folder(self.final.parent)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove what was written so far."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class PartialFolder(_Partial):
    """A folder with a temporary name: write files into `path`, then `commit`, or `discard`.

    Args:
        final: the name the folder gets; its parents are made if they are not there.
        overwrite: whether a folder of that name may be replaced, with all it holds.
        strangers: returns what an older folder holds that may not be replaced.

    Raises:
        OutputError: the name is taken, or the folder cannot be made.
    """

    def __init__(
        self,
        final: Path,
        *,
        overwrite: bool = False,
        strangers: Callable[[Path], list[Path]] = strange_entries,
    ) -> None:
        super().__init__(final, overwrite=overwrite)
        self._strangers = strangers
        with output_errors(final):
            self.path.mkdir(parents=True)

    def commit(self) -> None:
        """Bring all files to the disk and give the folder its final name.

        Raises:
            OutputError: it cannot be written, or something got that name in the meantime.
        """
        try:
            with output_errors(self.final):
                for file in self.path.iterdir():
                    _sync_file(file)
                sync_folder(self.path)
                check_free(self.final, overwrite=self._overwrite)
                self._take_name()
                sync_folder(self.final.parent)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove what was written so far."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _take_name(self) -> None:
        if not os.path.lexists(self.final):
            self.path.rename(self.final)
            return
        refuse_strangers(self.final, self._strangers(self.final))
        old = self.path.with_name(self.path.name.replace(PARTIAL_SUFFIX, f"-old{PARTIAL_SUFFIX}"))
        self.final.rename(old)
        try:
            self.path.rename(self.final)
        except OSError:
            old.rename(self.final)
            raise
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
