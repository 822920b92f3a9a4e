"""Claims on outputs: two processes never write the same scan, and unfinished files are removed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from ratcli.errors import OutputError
from ratcli.formats.atomic import PARTIAL_SUFFIX, hidden_stem, output_errors
from ratcli.paths import check_path

CLAIM_SUFFIX = ".rat-claim"


class BusyError(OutputError):
    """Another process is writing that output now."""


def claim_path(output: Path) -> Path:
    """Return the name of the file that is locked while an output is made."""
    return output.parent / f"{hidden_stem(output)}{CLAIM_SUFFIX}"


@contextlib.contextmanager
def claimed(output: Path) -> Iterator[None]:
    """Hold an output for this process. Its folder is made if it does not exist.

    The lock ends with the process that holds it, even if that is killed. Unfinished files that a
    killed process left are removed, and so is a new folder if it stays empty.

    Raises:
        BusyError: another process is writing that output.
        OutputError: the folder cannot be written, or the name is too long.
    """
    check_path(output, OutputError)
    with output_errors(output), _folder(output.parent):
        path = claim_path(output)
        handle = _lock(path)
        if handle is None:
            raise BusyError(
                f"{output.name} is being written by another process",
                hint="Let it finish, or choose another folder with -o.",
            )
        try:
            remove_partials(output)
            yield
        finally:
            # The name goes before the lock: whoever opens it later makes a new file.
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(handle)


def is_free(output: Path) -> bool:
    """Return whether no process is writing an output."""
    try:
        handle = os.open(claim_path(output), os.O_RDWR)
    except OSError:
        return True
    try:
        return _try_lock(handle)
    finally:
        os.close(handle)


def sweep(output: Path) -> None:
    """Remove what a killed process left of an output, unless another process is writing it."""
    if os.path.lexists(claim_path(output)):
        with contextlib.suppress(OutputError), claimed(output):
            pass


def remove_partials(output: Path) -> None:
    """Remove unfinished versions of an output; call it while the output is claimed."""
    partial = re.compile(
        rf"{re.escape(hidden_stem(output))}\.[0-9a-f]{{8}}(-old)?{re.escape(PARTIAL_SUFFIX)}"
    )
    for path in list(output.parent.iterdir()):
        if partial.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it at the end if it was made here and is empty."""
    made = [part for part in (folder, *folder.parents) if not part.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for part in made:
                part.rmdir()


def _lock(path: Path) -> int | None:
    """Open and lock a file; return None if another process holds it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _try_lock(handle):
            os.close(handle)
            return None
        if _is_still(path, handle):
            return handle
        os.close(handle)  # its holder removed it between our open and our lock


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


if sys.platform == "win32":

    def _try_lock(handle: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(handle: int) -> bool:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
