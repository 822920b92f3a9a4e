"""The layout and the tags of a derived TIFF: those of the source, on the new grid."""

from __future__ import annotations

from dataclasses import replace
from typing import IO, Any, Literal

import numpy as np

from ratcli.errors import UsageError
from ratcli.formats.tiff.annotations import without_imagej_regions
from ratcli.formats.tiff.directory import (
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    Directory,
    Tag,
    TagEncoder,
)
from ratcli.formats.tiff.levels import ADOBE_DEFLATE, JPEG, NONE, Encoding
from ratcli.formats.tiff.metadata import (
    Resolution,
    finer_description,
    floating_description,
    history,
)
from ratcli.formats.tiff.pages import (
    IMAGEJ_COUNTS,
    IMAGEJ_DATA,
    imagej_facts,
    raw_value,
    segment_bytes,
)
from ratcli.formats.tiff.reader import TiffReader
from ratcli.formats.tiff.samples import PALETTE, YCBCR, Samples, of_uncertainty
from ratcli.formats.tiff.white import MAX_SAMPLE_VALUE
from ratcli.scan import Derivation

_SLIDE_PIXELS = 1 << 25
_HUGE_PIXELS = 1 << 28
_STRIP_BYTES = 1 << 18
_LARGEST_TILE = 1024
_SLIDE_TILE, _TILE = 512, 256

_LAYOUT_TAGS = {254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284}
_LAYOUT_TAGS |= {288, 289, 292, 293, 317, 320, 322, 323, 324, 325, 330, 338, 339, 340, 341, 347}
_LAYOUT_TAGS |= {*range(512, 522), *range(529, 533)}
_POINTER_TAGS = {34665, 34853, 40965}  # Exif, GPS: directories elsewhere in the source
_REWRITTEN_TAGS = {270, 282, 283, 296, 305}
_GRID_TAGS = {33550, 33922, 34264}  # GeoTIFF's pixel size; copied for the same grid only
_IMAGEJ_TAGS = {
    IMAGEJ_COUNTS,
    IMAGEJ_DATA,
}  # ranges and colours to show the source in, among others
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}
_FULL_RANGE = (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)  # ratios: black and white, Y Cb Cr


def wants_pyramid(reader: TiffReader, scale: int) -> bool:
    """Return whether smaller versions are written: if the source has some, and for slides."""
    pages, info = reader.pages, reader.info
    if pages.kind == "imagej" or (info.planes > 1 and not pages.links_levels):
        return False
    pixels = info.height * info.width * scale**2
    is_slide = bool(pages.first.is_tiled) and pixels >= _SLIDE_PIXELS
    return pages.has_pyramid or is_slide or pixels >= _HUGE_PIXELS


def written_samples(reader: TiffReader, derivation: Derivation) -> Samples:
    """Return what is written for a pixel: the source's own, but float32 for an uncertainty."""
    if derivation.method == "uncertainty":
        return of_uncertainty(reader.samples)
    return reader.samples


def check_jpeg(reader: TiffReader) -> None:
    """Refuse to write an image as JPEG if it would be clipped or could not be opened.

    Raises:
        UsageError: the output is not 8-bit RGB without alpha, or is for ImageJ.
    """
    samples = reader.samples
    found = ""
    if reader.pages.kind == "imagej":
        found = "an ImageJ TIFF, which ImageJ opens uncompressed only"
    elif samples.channels != 3 or samples.stored_dtype != np.uint8:
        colours = "RGB" if samples.channels == 3 else "gray"
        found = f"{colours} of {samples.stored_bits} bits"
    elif samples.extras:
        found = "RGB with an alpha channel"
    if found:
        raise UsageError(
            f"JPEG is for RGB of 8 bits, but this is {found}", hint="Leave --compression out."
        )


def plan_encoding(
    reader: TiffReader, derivation: Derivation, jpeg_quality: int | None, *, is_pyramid: bool
) -> Encoding:
    """Choose tiles or strips, their size and how they are compressed.

    Tiles stay tiles; ImageJ, which reads few codecs, gets uncompressed strips. JPEG is
    always tiled, and only for colours: an uncertainty is stored as floats.
    """
    page, info, scale = reader.pages.first, reader.info, derivation.scale
    written = written_samples(reader, derivation)
    is_jpeg = jpeg_quality is not None and written is reader.samples
    compression = NONE if reader.pages.kind == "imagej" else ADOBE_DEFLATE
    order: Literal["<", ">"] = ">" if page.parent.byteorder == ">" else "<"
    if not (page.is_tiled or is_pyramid or is_jpeg):
        is_planar = keeps_planes_apart(reader, written, is_pyramid=is_pyramid)
        samples = 1 if is_planar else _count(written)
        row_bytes = info.width * scale * samples * written.stored_dtype.itemsize
        rows = max(1, min(info.height * scale, _STRIP_BYTES // row_bytes))
        return Encoding(rows, info.width * scale, False, compression, order)
    height, width = _TILE, _TILE
    if page.is_tiled and _is_usual(page.tilelength) and _is_usual(page.tilewidth):
        height, width = int(page.tilelength), int(page.tilewidth)
    if is_pyramid and scale > 1:
        height, width = _SLIDE_TILE, _SLIDE_TILE
    if is_jpeg and jpeg_quality is not None:
        return Encoding(height, width, True, JPEG, order, jpeg_quality)
    return Encoding(height, width, True, compression, order)


def keeps_planes_apart(reader: TiffReader, written: Samples, *, is_pyramid: bool) -> bool:
    """Return whether samples are stored in separate planes, as in the source; not in a pyramid."""
    is_planar = int(reader.pages.first.planarconfig) == 2 and _count(written) > 1
    return is_planar and not is_pyramid and reader.samples.palette is None


class DerivedTags:
    """Makes the tags of every page that is written."""

    def __init__(self, reader: TiffReader, derivation: Derivation, encoding: Encoding) -> None:
        self.encoder = TagEncoder(encoding.byte_order)
        self.written = written_samples(reader, derivation)
        is_pyramid = wants_pyramid(reader, derivation.scale)
        is_planar = keeps_planes_apart(reader, self.written, is_pyramid=is_pyramid)
        self.is_planar = is_planar and encoding.compression != JPEG
        self.samples = _count(self.written)
        self._reader = reader
        self._derivation = derivation
        self._encoding = encoding

    def plane(self, number: int) -> dict[int, Tag]:
        """Return the tags of a plane: those of its source that are still true, and its layout."""
        page = self._reader.pages.planes[number][0]
        info, scale = self._reader.info, self._derivation.scale
        tags = self._kept(page)
        tags |= self._layout(info.height * scale, info.width * scale)
        if 254 in page.tags:
            tags[254] = self._raw(page, 254)
        tags |= self._resolution() | self._descriptions(page)
        return tags

    def smaller(self, height: int, width: int) -> dict[int, Tag]:
        """Return the tags of a smaller version."""
        tags = self._layout(height, width)
        tags[254] = self.encoder.numbers(LONG, 1)
        if self._reader.pages.kind == "svs":
            first = self._reader.pages.description().split(b"\n")[0].rstrip(b"\r\0")
            tags[270] = self.encoder.text(first + f"\r\n-> {width}x{height}".encode())
        icc = self._reader.pages.first.tags.get(34675)
        if icc is not None:
            tags[34675] = self._raw(self._reader.pages.first, 34675)
        return tags

    def copied(self, page: Any, file: IO[bytes]) -> Directory:
        """Append the tiles or strips of a page as they are; return its directory."""
        where = {273, 279, 324, 325, 330} | _POINTER_TAGS
        tags = {code: self._raw(page, code) for code in _codes(page) if code not in where}
        if self._reader.pages.kind == "ome" and page is self._reader.pages.head and 270 in tags:
            tags[270] = self.encoder.text(self._description(page))
        offsets, counts = [], []
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            data = segment_bytes(page, int(offset), int(count))
            offsets.append(file.tell() if data else 0)
            counts.append(len(data))
            file.write(data)
        return Directory(tags, offsets, counts, bool(page.is_tiled))

    def _kept(self, page: Any) -> dict[int, Tag]:
        dropped = _LAYOUT_TAGS | _POINTER_TAGS | _REWRITTEN_TAGS
        if self._derivation.scale > 1:
            dropped |= _GRID_TAGS
        if self.written is not self._reader.samples:
            dropped |= _IMAGEJ_TAGS
        tags = {code: self._raw(page, code) for code in _codes(page) if code not in dropped}
        return self._without_regions(page, tags) if self._derivation.scale > 1 else tags

    def _without_regions(self, page: Any, tags: dict[int, Tag]) -> dict[int, Tag]:
        """Leave ImageJ's regions and overlays out, which are in pixels of the source."""
        if not {IMAGEJ_COUNTS, IMAGEJ_DATA} <= tags.keys():
            return tags
        data, counts = without_imagej_regions(*imagej_facts(page))
        tags = {code: tag for code, tag in tags.items() if code not in _IMAGEJ_TAGS}
        if counts:
            tags[IMAGEJ_COUNTS] = self.encoder.numbers(LONG, *counts)
            tags[IMAGEJ_DATA] = Tag(BYTE, len(data), data)
        return tags

    def _raw(self, page: Any, code: int) -> Tag:
        tag = page.tags[code]
        return Tag(int(tag.dtype), int(tag.count), raw_value(page, code))

    def _layout(self, height: int, width: int) -> dict[int, Tag]:
        numbers, samples, encoding = self.encoder.numbers, self.written, self._encoding
        sample_format = _SAMPLE_FORMATS[samples.stored_dtype.kind]
        tags = {
            256: numbers(LONG, width),
            257: numbers(LONG, height),
            258: numbers(SHORT, *[samples.stored_bits] * self.samples),
            259: numbers(SHORT, encoding.compression),
            262: numbers(SHORT, YCBCR if encoding.compression == JPEG else samples.photometric),
            277: numbers(SHORT, self.samples),
            284: numbers(SHORT, 2 if self.is_planar else 1),
            339: numbers(SHORT, *[sample_format] * self.samples),
        }
        if encoding.is_tiled:
            tags |= {322: numbers(LONG, encoding.width), 323: numbers(LONG, encoding.height)}
        else:
            tags[278] = numbers(LONG, encoding.height)
        return tags | self._codec_tags() | self._colour_tags()

    def _codec_tags(self) -> dict[int, Tag]:
        """Return the tags that a decoder needs: for JPEG, that its YCbCr is full and 4:4:4."""
        numbers, encoding = self.encoder.numbers, self._encoding
        if encoding.compression == JPEG:
            return {530: numbers(SHORT, 1, 1), 532: numbers(RATIONAL, *_FULL_RANGE)}
        return {317: numbers(SHORT, encoding.predictor(self.written.stored_dtype))}

    def _colour_tags(self) -> dict[int, Tag]:
        samples = self.written
        tags: dict[int, Tag] = {}
        if samples.extras:
            tags[338] = self.encoder.numbers(SHORT, *samples.extra_kinds)
        if samples.is_peak_lower and samples.white is not None:
            numbers = [int(samples.white.written)] * self.samples
            tags[MAX_SAMPLE_VALUE] = self.encoder.numbers(SHORT, *numbers)
        if samples.photometric == PALETTE:
            tags[320] = self._raw(self._reader.pages.first, 320)
        return tags

    def _resolution(self) -> dict[int, Tag]:
        """Return finer resolution tags, or those of the description if there are none."""
        scale = self._derivation.scale
        resolution = self._reader.pages.resolution()
        _, row_mm, column_mm = self._reader.info.spacing_mm
        if resolution is not None:
            resolution = resolution.finer(scale)
        elif row_mm and column_mm:
            resolution = Resolution.from_spacing(row_mm / scale, column_mm / scale)
        if resolution is None:
            return {}
        return {
            282: self.encoder.numbers(RATIONAL, *resolution.x),
            283: self.encoder.numbers(RATIONAL, *resolution.y),
            296: self.encoder.numbers(SHORT, resolution.unit),
        }

    def _description(self, page: Any) -> bytes:
        """Return a page's ImageDescription for the grid and the type that are written."""
        pages, before = self._reader.pages, raw_value(page, 270).rstrip(b"\0")
        scale, image = self._derivation.scale, pages.image
        description = finer_description(pages.kind, before, scale, pages.size, image)
        if self.written is self._reader.samples:
            return description
        return floating_description(pages.kind, description, image)

    def _descriptions(self, page: Any) -> dict[int, Tag]:
        pages, text = self._reader.pages, self.encoder.text
        description = self._description(page)
        if pages.kind == "shaped" and (
            self._reader.samples.palette is not None
            or self.written.extras != self._reader.samples.extras
            or (int(page.planarconfig) == 2) != self.is_planar
        ):
            description = b""  # its shape would no longer be that of the page
        settings = self._derivation.settings
        if self._encoding.compression == JPEG:
            settings = (*settings, f"JPEG quality {self._encoding.jpeg_quality}")
        derivation = replace(self._derivation, settings=settings)
        tags = {305: text(history(derivation, raw_value(page, 305)))}
        if description:
            tags[270] = text(description)
        return tags


def _codes(page: Any) -> list[int]:
    return [int(tag.code) for tag in page.tags]


def _count(samples: Samples) -> int:
    return samples.channels + samples.extras


def _is_usual(length: int) -> bool:
    return 16 <= length <= _LARGEST_TILE and length % 16 == 0
