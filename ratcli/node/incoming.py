"""The file of an object that is being received; it is emptied if the disk has no room for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


class IncomingFile:
    """Takes the place of the temporary file into which pynetdicom writes an object.

    An object can be refused only when all of it has come. If there is no room for it, the rest is
    dropped, and the file is empty or missing.

    Args:
        folder: in which the file is made.
        has_room: is asked before each part of the object.
        options: those of pynetdicom; they would ask for the same.

    Attributes:
        name: path of the file.
        file: the object that pynetdicom flushes.
    """

    def __init__(self, folder: Path, has_room: Callable[[], bool], **options: object) -> None:
        self.name, self.file, self._has_room = str(folder / f"{uuid4().hex}.dcm"), self, has_room
        self._stream: io.FileIO | None = None
        with suppress(OSError):
            self._stream = io.FileIO(self.name, "xb")

    def write(self, content: bytes) -> int:
        """Write a part of the object, or drop it."""
        if self._stream is not None and not self._is_written(self._stream, content):
            self._stream.truncate(0)
            self.close()
        return len(content)

    def flush(self) -> None:
        """Do nothing; the file has no buffer."""

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _is_written(self, stream: io.FileIO, content: bytes) -> bool:
        try:
            return self._has_room() and stream.write(content) == len(content)
        except OSError:
            return False


def is_dropped(path: Path) -> bool:
    """Return whether there was no room for an object."""
    return not path.exists() or path.stat().st_size == 0
