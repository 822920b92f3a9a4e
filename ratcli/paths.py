"""Paths that a user names, before anything is read or written there."""

from __future__ import annotations

import errno
from pathlib import Path

from ratcli.errors import RatError, UsageError, reason_of

_SHOWN = 40
_OF_THE_SHELL = (Path("/dev"), Path("/proc"))


def check_path(path: Path, error: type[RatError] = UsageError) -> Path:
    """Return a path, whether or not something is there.

    Args:
        path: what the user named.
        error: what to raise.

    Raises:
        RatError: of that class; the path is too long, holds a null byte, or links in a circle.
    """
    name = path.name if len(path.name) <= _SHOWN else f"{path.name[:_SHOWN]}..."
    try:
        path.stat()
    except ValueError as problem:
        raise error(f"{name} holds a character that no path may have") from problem
    except OSError as problem:
        if problem.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise error(f"{name} cannot be a path: {reason_of(problem)}") from problem
    return path


def check_file(path: Path, error: type[RatError] = UsageError, *, pipes: bool = False) -> None:
    """Refuse a pipe or a device, which may be waited for, or read, without end.

    Args:
        path: what the user named; it need not exist.
        error: what to raise.
        pipes: whether a pipe that the shell made is taken, as in `--config <(...)`.

    Raises:
        RatError: of that class; it is there, and neither a file nor a folder.
    """
    is_of_shell = path.is_fifo() and any(place in path.parents for place in _OF_THE_SHELL)
    is_usable = path.is_file() or path.is_dir() or (pipes and is_of_shell)
    if path.exists() and not is_usable:
        raise error(f"{path.name} is a pipe or a device, not a file")
