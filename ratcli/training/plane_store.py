"""A store of planes: in memory while there is room, and beyond that in an unnamed file."""

from __future__ import annotations

import tempfile
import weakref
from typing import IO

import numpy as np

from ratcli.errors import OutputError
from ratcli.scan import FloatArray

_ROOM_BYTES = 4 << 30


class PlaneStore:
    """Keeps planes. The file disappears when the process ends, so that no scan is left on disk.

    Args:
        room_bytes: how much is kept in memory; the rest goes to the folder of temporary files.
    """

    def __init__(self, room_bytes: int = _ROOM_BYTES) -> None:
        self._left = room_bytes
        self._file: IO[bytes] | None = None

    def keep(self, values: FloatArray) -> FloatArray:
        """Store values, and return them as an array that reads from the store.

        Raises:
            OutputError: the disk of temporary files is full.
        """
        values = np.ascontiguousarray(values, np.float32)
        self._left -= values.nbytes
        if self._left >= 0:
            return values
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="rat-")  # noqa: SIM115
                weakref.finalize(self, self._file.close)
            offset = self._file.seek(0, 2)
            self._file.write(values.data)
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"the scans fit neither into memory nor into {tempfile.gettempdir()}",
                hint="Set TMPDIR to a folder on a larger disk.",
            ) from error
        return np.memmap(self._file, np.float32, "r", offset, values.shape)
