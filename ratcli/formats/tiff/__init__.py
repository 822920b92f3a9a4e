"""TIFF: gray and colour, any layout, ImageJ, OME-TIFF, Aperio SVS and other pyramids."""

from __future__ import annotations

from pathlib import Path

from ratcli.formats.source import ScanSource
from ratcli.scan import Derivation, ScanReader, ScanWriter

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUFFIXES = (".tif", ".tiff", ".svs", ".btf")


def sniff(head: bytes, path: Path) -> bool:
    """Return whether a file is TIFF: by its first four bytes, or a damaged one by its name.

    Args:
        head: the first bytes of the file.
        path: the file.
    """
    return head[:4] in _MAGIC or path.name.lower().endswith(_SUFFIXES)


def open_scan(
    source: ScanSource,
    *,
    max_pixels: int,
    assume_unit: str | None = None,
    full_scale: float | None = None,
    image: int | None = None,
) -> ScanReader:
    """Open a TIFF.

    Args:
        source: one file.
        max_pixels: most pixels decoded at once: of a tile or strip, and of a box that is read.
        assume_unit: unit of gray values; colours of 8 and 16 bits are `RGB`.
        full_scale: stored number that is white in colours; None for what the file says.
        image: page that is the image, from 1; None for the largest in full resolution.

    Raises:
        UnreadableInputError: damaged, hostile, or not supported.
        UnsuitableInputError: there is no such page, or its samples do not reach the full scale.
    """
    from ratcli.formats.tiff.pages import open_pages
    from ratcli.formats.tiff.reader import TiffReader

    pages = open_pages(source.paths[0], image)
    try:
        return TiffReader(pages, max_pixels, assume_unit, full_scale)
    except BaseException:
        pages.file.close()
        raise


def create_scan(
    reader: ScanReader,
    path: Path,
    derivation: Derivation,
    *,
    overwrite: bool = False,
    jpeg_quality: int | None = None,
) -> ScanWriter:
    """Begin a TIFF on the reader's grid, or one `derivation.scale` times as fine.

    Args:
        reader: a scan that `open_scan` of this module gave; it stays open while writing.
        path: the file.
        derivation: what was done; goes into the tag Software.
        overwrite: whether a file of that name may be replaced.
        jpeg_quality: 1 to 100 to write 8-bit RGB as JPEG; None to lose nothing.

    Raises:
        OutputError: the name is taken, is the input's, or cannot be written.
    """
    from ratcli.formats.tiff.reader import TiffReader
    from ratcli.formats.tiff.writer import TiffWriter

    if not isinstance(reader, TiffReader):
        raise ValueError("a TIFF is made from a TIFF reader")
    return TiffWriter(reader, path, derivation, overwrite=overwrite, jpeg_quality=jpeg_quality)
