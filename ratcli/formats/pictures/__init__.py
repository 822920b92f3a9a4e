"""Pictures: PNG and JPEG in 8-bit RGB, as of a slide; written as PNG."""

from __future__ import annotations

from pathlib import Path

from ratcli.formats.source import ScanSource
from ratcli.scan import Derivation, ScanReader, ScanWriter

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
_SUFFIXES = (".png", ".jpg", ".jpeg")


def sniff(head: bytes, path: Path) -> bool:
    """Return whether a file is a PNG or a JPEG, by its first bytes and its name.

    Under another name it may be the damaged slice of a series.

    Args:
        head: the first bytes of the file.
        path: the file.
    """
    return head.startswith((PNG_MAGIC, JPEG_MAGIC)) and path.suffix.lower() in _SUFFIXES


def open_scan(source: ScanSource, *, max_pixels: int, assume_unit: str | None = None) -> ScanReader:
    """Open a picture.

    Args:
        source: one file.
        max_pixels: most pixels that are decoded.
        assume_unit: not needed, since colours are always RGB.

    Raises:
        UnreadableInputError: damaged, hostile, or not in 8-bit RGB.
    """
    from ratcli.formats.pictures.reader import PictureReader

    return PictureReader(source.paths[0], max_pixels)


def create_scan(
    reader: ScanReader, path: Path, derivation: Derivation, *, overwrite: bool = False
) -> ScanWriter:
    """Begin a PNG on the reader's grid, or one `derivation.scale` times as fine.

    Args:
        reader: a scan that `open_scan` of this module gave; it stays open while writing.
        path: the file.
        derivation: what was done; goes into the text `Software`.
        overwrite: whether a file of that name may be replaced.

    Raises:
        UsageError: a PNG has no place for what would be written.
        OutputError: the name is taken, is the input's, or cannot be written.
    """
    from ratcli.formats.pictures.reader import PictureReader
    from ratcli.formats.pictures.writer import PngWriter

    if not isinstance(reader, PictureReader):
        raise ValueError("a picture is made from the reader of a picture")
    return PngWriter(reader, path, derivation, overwrite=overwrite)
