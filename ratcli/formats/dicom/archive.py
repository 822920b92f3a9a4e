"""Zip archives of DICOM files, opened once and within limits on what their members inflate to."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from pathlib import Path

from ratcli.errors import UnreadableInputError

_MOST_LISTED_BYTES = 1 << 22
"""Most bytes of the list of members, 50 000 or so."""

_FREE_BYTES = 1 << 28
"""Bytes to which all members together may inflate, however small the archive is."""

_MOST_RATIO = 20
"""How many times as large as a larger archive its members may be; usual slices are 2 or 3 times."""

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open an archive; the last ones stay open, since their lists take long to read.

    Raises:
        UnreadableInputError: too many members, members that are compressed by a method whose
            decoder takes unlimited memory, or members that inflate to more than the limit.
        zipfile.BadZipFile: damaged.
    """
    found = path.stat()
    return _opened(path, found.st_mtime_ns, found.st_size)


class _Archive(zipfile.ZipFile):
    """An archive that closes its own file, also when it is no longer used."""

    def __init__(self, path: Path) -> None:
        self._own = _BoundedFile(io.FileIO(path))
        super().__init__(self._own)

    def close(self) -> None:
        """Close the archive and the file."""
        super().close()
        self._own.close()


class _BoundedFile(io.BufferedReader):
    """A file of which the list of an archive's members is read only if it is not too long."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_LISTED_BYTES:
            raise UnreadableInputError("the archive lists too many members")
        return super().read(size)


@lru_cache(maxsize=2)
def _opened(path: Path, _modified: int, size: int) -> _Archive:
    archive = _Archive(path)
    members = archive.infolist()
    inflated = sum(member.file_size for member in members)
    if any(member.compress_type not in _COMPRESSIONS for member in members):
        problem = f"{path.name} has members that are not compressed by deflate"
    elif inflated > max(_FREE_BYTES, _MOST_RATIO * size):
        problem = f"the members of {path.name} inflate to {inflated} bytes, more than the limit"
    else:
        return archive
    archive.close()
    raise UnreadableInputError(problem, hint="If it is genuine, unpack the archive first.")
