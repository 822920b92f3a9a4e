"""Bytes of a NIfTI file, plain or gzipped, with one block in memory at a time."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from ratcli.errors import OutputError, UnreadableInputError, reason_of
from ratcli.formats.quick_look import check_look

GZIP_MAGIC = b"\x1f\x8b"
GZIP_LEVEL = 6
"""Level of a written `.gz`: gzip's own default, as FSL writes."""

_BLOCK = 1 << 20


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, inflated on the fly if it is gzipped.

    Raises:
        UnreadableInputError: the stream inside the block is damaged, ends early, or the file
            cannot be opened.
    """
    with _stream_errors(), path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if packed else file


def read_exactly(file: IO[bytes], size: int, *, what: str) -> bytes:
    """Read exactly `size` bytes.

    Raises:
        UnreadableInputError: the stream ends earlier.
    """
    data = file.read(size)
    if len(data) < size:
        raise UnreadableInputError(f"the {what} ends after {len(data)} of {size} bytes")
    return data


def copy_to_disk(path: Path, offset: int, size: int) -> IO[bytes]:
    """Copy the voxels of a file, inflated if it is gzipped, to a temporary file without a name.

    Args:
        path: the file.
        offset: bytes to leave out at its beginning.
        size: bytes to keep; what follows them is never inflated.

    Raises:
        UnreadableInputError: the stream is damaged or holds fewer bytes.
        OutputError: the folder of temporary files is full, or there is none.
    """
    check_look(inflated=offset + size)
    with _spill_errors():
        spilled = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        with open_bytes(path) as file:
            _skip(file, offset)
            _copy(file, spilled, size)
            file.read(1)  # at the end of the stream this checks its CRC
        with _spill_errors():
            spilled.flush()
    except BaseException:
        with contextlib.suppress(OSError):  # what did not fit is written again, and lost
            spilled.close()
        raise
    return spilled


def deflate(source: IO[bytes], target: IO[bytes], head: bytes) -> None:
    """Write a gzip stream of `head` and all of `source`; the same input gives the same bytes."""
    with gzip.GzipFile(
        filename="", fileobj=target, mode="wb", compresslevel=GZIP_LEVEL, mtime=0
    ) as packed:
        packed.write(head)
        source.seek(0)
        shutil.copyfileobj(source, packed, _BLOCK)


def _skip(file: IO[bytes], size: int) -> None:
    while size > 0:
        size -= len(read_exactly(file, min(size, _BLOCK), what="header"))


def _copy(file: IO[bytes], target: IO[bytes], size: int) -> None:
    left = size
    while left > 0:
        block = file.read(min(left, _BLOCK))
        if not block:
            raise UnreadableInputError(
                f"the voxels end after {size - left} of {size} bytes",
                hint="The file is truncated, or its header is damaged.",
            )
        with _spill_errors():
            target.write(block)
        left -= len(block)


@contextlib.contextmanager
def _spill_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            "the voxels do not fit into the folder of temporary files",
            hint="Set TMPDIR to a folder on a larger disk.",
        ) from error


@contextlib.contextmanager
def _stream_errors() -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableInputError("the gzip stream is damaged") from error
    except EOFError as error:
        raise UnreadableInputError("the gzip stream ends early") from error
    except OSError as error:
        raise UnreadableInputError(f"the file cannot be read: {reason_of(error)}") from error
