"""Writing a TIFF plane by plane or box by box, with the metadata of its source.

Alpha beside colours is enlarged as smoothly as they are, and is a bound where it is premultiplied.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from ratcli.formats.atomic import PartialFile, output_errors, refuse_input
from ratcli.formats.closing import FinishingWriter
from ratcli.formats.quantise import StoredArray, keep_untouched
from ratcli.formats.tiff.derived import DerivedTags, plan_encoding, wants_pyramid
from ratcli.formats.tiff.directory import (
    CLASSIC_LIMIT,
    HEADER_BYTES,
    Directory,
    write_directories,
)
from ratcli.formats.tiff.levels import Level
from ratcli.formats.tiff.reader import TiffReader
from ratcli.formats.tiff.samples import PREMULTIPLIED, UNSPECIFIED, Samples
from ratcli.formats.tiling import box_to_fill, level_sizes
from ratcli.scan import Box, Derivation, FloatArray


class TiffWriter(FinishingWriter):
    """A TIFF being written; see `ScanWriter`.

    Tiles and strips are written as soon as they are complete, so that boxes in row-major order need
    the memory of one row of tiles. Directories are written at the end; BigTIFF is used for slides
    and for files of more than 4 GiB.
    """

    def __init__(
        self,
        reader: TiffReader,
        path: Path,
        derivation: Derivation,
        *,
        overwrite: bool,
        jpeg_quality: int | None = None,
    ) -> None:
        refuse_input(path, [Path(reader.pages.file.filehandle.path)])
        self._reader = reader
        self._scale = derivation.scale
        self._height = reader.info.height * derivation.scale
        self._width = reader.info.width * derivation.scale
        self._is_pyramid = wants_pyramid(reader, derivation.scale)
        self._encoding = plan_encoding(
            reader, derivation, jpeg_quality, is_pyramid=self._is_pyramid
        )
        self._tags = DerivedTags(reader, derivation, self._encoding)
        self._partial = PartialFile(path, overwrite=overwrite)
        self._file: IO[bytes] | None = None
        self._planes: list[list[Level]] = []

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write a plane, or a box of it; see `ScanWriter.write`.

        Raises:
            OutputError: the disk is full.
            ValueError: the shape is not that of the box, pixels come twice, or NaN for an
                integer type.
        """
        shape = (self._reader.samples.channels, self._height, self._width)
        box = box_to_fill(values, box, shape)
        stored = self._stored(plane, values, box)
        with output_errors(self._partial.final):
            for number, level in enumerate(self._planes[plane]):
                part = stored if not self._tags.is_planar else stored[..., number : number + 1]
                level.put(box, part)

    def __enter__(self) -> Self:
        with output_errors(self._partial.final):
            self._file = self._partial.path.open("w+b")
            self._file.write(bytes(HEADER_BYTES))
        count = self._tags.samples if self._tags.is_planar else 1
        self._planes = [
            [self._new_level() for _ in range(count)] for _ in range(self._reader.info.planes)
        ]
        return self

    def discard(self) -> None:
        """Close the file, and remove it if it is unfinished."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # the last bytes may not fit a full disk
                self._file.close()
        self._partial.discard()

    def finish(self) -> None:
        """Write the directories, and give the file its name."""
        assert self._file is not None
        for plane, levels in enumerate(self._planes):
            if not all(level.is_whole for level in levels):
                raise ValueError(f"plane {plane} was not written whole")
        with output_errors(self._partial.final):
            directories = self._directories(self._file)
            is_big = bool(self._reader.pages.file.is_bigtiff) or self._is_pyramid
            is_big = is_big or self._file.tell() > CLASSIC_LIMIT
            write_directories(self._file, directories, self._tags.encoder, big=is_big)
            self._file.close()
        self._partial.commit()

    def _new_level(self) -> Level:
        """Make the level of a plane, and the smaller ones that it feeds."""
        assert self._file is not None
        smaller: Level | None = None
        if self._is_pyramid:
            pages = self._reader.pages
            least = max(1, len(pages.levels), len(pages.first.subifds or ()))
            for height, width in reversed(level_sizes(self._height, self._width, least)):
                smaller = Level(self._file, height, width, self._encoding, smaller)
        return Level(self._file, self._height, self._width, self._encoding, smaller)

    def _stored(self, plane: int, values: FloatArray, box: Box) -> StoredArray:
        """Return the samples `(H, W, samples)` of a box, alpha put back."""
        samples = self._reader.samples
        if self._tags.written is not samples:
            return self._tags.written.to_samples(values)
        stored = samples.to_samples(values)
        if self._scale == 1 and not samples.is_exact and samples.palette is None:
            before = self._reader.stored(plane, box)
            source = np.moveaxis(samples.to_values(before), 0, -1)
            shown = np.moveaxis(values, 0, -1)
            stored = keep_untouched(shown, source, before[..., : samples.channels], stored)
        if samples.extras:
            return self._with_extras(plane, box, stored)
        return stored

    def _with_extras(self, plane: int, box: Box, colours: StoredArray) -> StoredArray:
        """Return colours `(H, W, channels)` with the source's alpha, on the output's grid."""
        reader, samples = self._reader, self._reader.samples
        if self._scale == 1:
            before = reader.stored(plane, box)
            extras = samples.written_extras(before[..., samples.channels :])
            return with_extras(colours, extras, samples, before)
        size = (reader.info.height, reader.info.width)
        extras = enlarged_extras(
            lambda area: reader.stored(plane, area), samples, size, self._scale, box
        )
        return with_extras(colours, samples.written_extras(extras), samples, None)

    def _directories(self, file: IO[bytes]) -> list[Directory]:
        """List the pages in the order of the source, smaller versions after the first plane."""
        pages = self._reader.pages
        planes = [self._plane_directory(number) for number in range(len(self._planes))]
        left = iter(planes)
        copied = {page.offset for page in pages.others}
        own = {page.offset for page, _ in pages.planes}
        directories = []
        for page in pages.sequence:
            if page.offset in copied:
                directory = self._tags.copied(page, file)
                linked = pages.linked.get(page.offset, ())
                directory.levels = [self._tags.copied(level, file) for level in linked]
                directories.append(directory)
            elif page.offset in own:
                directories.append(next(left))
        directories += list(left)  # planes that shared a page
        if self._is_pyramid and not pages.links_levels:
            smaller = self._smaller_directories(0)
            is_thumbnail = pages.kind == "svs" and bool(pages.others)
            first = 2 if is_thumbnail and not directories[1].is_tiled else 1
            first += pages.sequence.index(pages.first)
            directories[first:first] = smaller
        return directories

    def _plane_directory(self, number: int) -> Directory:
        levels = self._planes[number]
        directory = self._directory(self._tags.plane(number), levels)
        if self._is_pyramid and self._reader.pages.links_levels:
            directory.levels = self._smaller_directories(number)
        return directory

    def _smaller_directories(self, number: int) -> list[Directory]:
        directories = []
        level = self._planes[number][0].smaller
        while level is not None:
            tags = self._tags.smaller(level.height, level.width)
            directories.append(self._directory(tags, [level]))
            level = level.smaller
        return directories

    def _directory(self, tags: dict[int, Any], levels: list[Level]) -> Directory:
        offsets = np.concatenate([level.offsets for level in levels])
        counts = np.concatenate([level.counts for level in levels])
        return Directory(tags, offsets.tolist(), counts.tolist(), self._encoding.is_tiled)


def enlarged_extras(
    read: Callable[[Box], StoredArray],
    samples: Samples,
    size: tuple[int, int],
    scale: int,
    box: Box,
) -> StoredArray:
    """Return the extra samples `(H, W, extras)` for a box of a grid `scale` times as fine.

    Alpha is interpolated between the centres of pixels; samples of unspecified meaning, which may
    be labels, are repeated. The result for a pixel does not depend on the box.

    Args:
        read: gives the source's samples `(H, W, samples)` of a box.
        samples: what they mean.
        size: height and width of the source.
        scale: pixels for each source pixel and axis.
        box: on the finer grid.
    """
    rows = _Line(box.top, box.height, size[0], scale)
    columns = _Line(box.left, box.width, size[1], scale)
    area = Box(rows.first, columns.first, rows.count, columns.count)
    source = read(area)[..., samples.channels :]
    extras = source[rows.nearest][:, columns.nearest]
    smooth = [kind != UNSPECIFIED for kind in samples.extra_kinds]
    if any(smooth):
        blended = columns.blend(rows.blend(source[..., smooth], axis=0), axis=1)
        is_whole = source.dtype.kind in "iu"
        extras[..., smooth] = np.rint(blended) if is_whole else blended
    return extras


def with_extras(
    colours: StoredArray, extras: StoredArray, samples: Samples, source: StoredArray | None
) -> StoredArray:
    """Put colours and extra samples together; colours stay within a premultiplied alpha.

    Args:
        colours: stored `(H, W, channels)`.
        extras: stored `(H, W, extras)`.
        samples: what they mean.
        source: the same pixels of the source, `(H, W, samples)`, if the grid is the same: a source
            whose own colours exceed its alpha is not mended. None for a finer grid.
    """
    for number, kind in enumerate(samples.extra_kinds):
        if kind != PREMULTIPLIED or samples.inverted or samples.palette is not None:
            continue
        bound = extras[..., number : number + 1]
        if source is not None:
            bound = np.maximum(bound, source[..., : samples.channels])
        colours = np.minimum(colours, bound)
    return np.concatenate([colours, extras], axis=-1)


class _Line:
    """Where the pixels of one axis of a finer grid lie between those of the source.

    Args:
        start: first pixel of the finer grid.
        length: how many.
        size: pixels of the source along the axis.
        scale: pixels for each source pixel.
    """

    def __init__(self, start: int, length: int, size: int, scale: int) -> None:
        pixels = np.arange(start, start + length)
        centres = (pixels + 0.5) / scale - 0.5
        below = np.floor(centres).astype(np.int64)
        self._share = centres - below
        low, high = np.clip(below, 0, size - 1), np.clip(below + 1, 0, size - 1)
        self.first, self.count = int(low[0]), int(high[-1] - low[0] + 1)
        self._low, self._high = low - self.first, high - self.first
        self.nearest = pixels // scale - self.first

    def blend(self, values: npt.NDArray[np.generic], axis: int) -> npt.NDArray[np.float64]:
        """Interpolate along an axis of source pixels that begins at `first`."""
        shape = [1] * values.ndim
        shape[axis] = -1
        share = self._share.reshape(shape)
        low = values.take(self._low, axis).astype(np.float64)
        high = values.take(self._high, axis).astype(np.float64)
        blended: npt.NDArray[np.float64] = low * (1 - share) + high * share
        return blended
