"""Writing a derived whole-slide image tile by tile; memory holds the tiles that are not whole."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless
from pydicom.valuerep import format_number_as_ds
from typing_extensions import Self

from ratcli.formats.atomic import PartialFile, output_errors, refuse_input
from ratcli.formats.dicom.codec import encode
from ratcli.formats.dicom.derive import derive_header, file_meta, set_layout
from ratcli.formats.dicom.deviation import refuse_colour
from ratcli.formats.dicom.elements import items, numbers, text
from ratcli.formats.dicom.files import guarded
from ratcli.formats.dicom.groups import geometry
from ratcli.formats.dicom.layout import PixelLayout, WordArray
from ratcli.formats.dicom.pixels import append_pixels
from ratcli.formats.dicom.references import method_codes, referenced_series, source_item
from ratcli.formats.dicom.slide import SlideGrid, Tile, overlap, within
from ratcli.formats.dicom.slide_reader import SlideReader
from ratcli.scan import Box, Derivation, FloatArray

_MAX_NATIVE_BYTES = 1 << 31


@dataclasses.dataclass
class _OpenTile:
    """A tile that is not whole yet."""

    words: WordArray
    missing: int


class SlideWriter:
    """A derived slide being written, all tiles row by row (TILED_FULL).

    Args:
        reader: the source.
        path: the file.
        derivation: what was done.
        overwrite: whether what has that name may be replaced.

    Raises:
        OutputError: the name is taken or is the source's, or the folder cannot be written.
    """

    def __init__(
        self, reader: SlideReader, path: Path, derivation: Derivation, *, overwrite: bool
    ) -> None:
        refuse_input(path, [source.path for source in reader.sources])
        refuse_colour(derivation, reader.info.channels)
        self._reader, self._derivation = reader, derivation
        self._grid = reader.grid.scaled(derivation.scale)
        source = reader.sources[0]
        self._syntax = _syntax(source.file.syntax, self._grid, source.layout)
        self._layout = _layout(source.layout, self._grid, self._syntax)
        self._open: dict[Tile, _OpenTile] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._partial = PartialFile(path, overwrite=overwrite)
        with output_errors(path):
            # Without a name: it is gone with the process, however that ends.
            self._spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write a box of the output's grid; each pixel comes once.

        Raises:
            OutputError: the disk is full.
        """
        box = box or Box(0, 0, self._grid.height, self._grid.width)
        if values.shape != (self._layout.samples, box.height, box.width):
            raise ValueError(f"values {values.shape} do not fill the box {tuple(box)}")
        words = self._quantise(values)
        for tile in self._grid.tiles(plane, box):
            area = self._grid.box(tile)
            part = overlap(area, box)
            opened = self._tile(tile, area)
            opened.words[within(part, area).slices] = words[within(part, box).slices]
            opened.missing -= part.height * part.width
            if opened.missing <= 0:
                self._finish(tile)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                self._partial.discard()
            elif len(self._places) < self._grid.frames:
                self._partial.discard()
                raise ValueError("a slide was closed before all of it was written")
            else:
                self._save()
                self._partial.commit()
        except BaseException:
            self._partial.discard()
            raise
        finally:
            self._spool.close()

    def _quantise(self, values: FloatArray) -> WordArray:
        """Return words `(H, W, C)`; slides are stored as RGB from 0 to 1, or gray as it is."""
        if not np.all(np.isfinite(values)):
            raise ValueError("values to be written must be finite")
        low, high = self._layout.limits
        top = high if self._layout.samples > 1 else 1
        samples = np.clip(np.rint(values.astype(np.float64) * top), low, high).astype(np.int32)
        return self._layout.pack(samples.transpose(1, 2, 0))

    def _tile(self, tile: Tile, area: Box) -> _OpenTile:
        if tile not in self._open:
            if self._grid.number(tile) in self._places:
                raise ValueError(f"tile {tuple(tile)} was written before")
            shape = (self._layout.rows, self._layout.columns, self._layout.samples)
            white = self._layout.limits[1] if self._layout.samples > 1 else 0
            words = self._layout.pack(np.full(shape, white, np.int32))
            self._open[tile] = _OpenTile(words, area.height * area.width)
        return self._open[tile]

    def _finish(self, tile: Tile) -> None:
        data = encode(self._open.pop(tile).words, self._syntax, self._layout)
        with output_errors(self._partial.final):
            place = self._spool.seek(0, 2)
            self._spool.write(data)
        self._places[self._grid.number(tile)] = place, len(data)

    def _save(self) -> None:
        source = self._reader.sources[0]
        with guarded(source.path, "the header"):
            dataset = derive_header(source, self._derivation)
            set_layout(dataset, self._layout)
            _describe_slide(dataset, self._reader, self._derivation, self._grid)
            dataset.file_meta = file_meta(dataset, self._syntax)
        places = [self._places[number] for number in range(self._grid.frames)]
        with output_errors(self._partial.final):
            dataset.save_as(self._partial.path, enforce_file_format=True)
            append_pixels(self._partial.path, self._spool, places, self._syntax, self._layout)


def _syntax(source: UID, grid: SlideGrid, layout: PixelLayout) -> UID:
    """Return a lossless syntax that viewers of slides read; big ones cannot be left plain."""
    if source.is_compressed or grid.frames * layout.frame_bytes > _MAX_NATIVE_BYTES:
        return JPEG2000Lossless
    return ExplicitVRLittleEndian


def _layout(layout: PixelLayout, grid: SlideGrid, syntax: UID) -> PixelLayout:
    if layout.samples > 1:
        colour = "YBR_RCT" if syntax.is_compressed else "RGB"
        layout = dataclasses.replace(layout, photometric=colour, planar=False)
    return dataclasses.replace(layout, frames=grid.frames)


def _describe_slide(
    dataset: Dataset, reader: SlideReader, derivation: Derivation, grid: SlideGrid
) -> None:
    """Write what is particular to slides: the matrix, its origin, the order of its tiles."""
    dataset.NumberOfFrames = grid.frames
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = grid.height, grid.width
    dataset.DimensionOrganizationType = "TILED_FULL"
    dataset.ImageType = _slide_type(text(dataset, "ImageType"), derivation)
    for keyword in ("PerFrameFunctionalGroupsSequence", "PyramidUID", "PyramidLabel"):
        if keyword in dataset:
            delattr(dataset, keyword)
    source = reader.sources[0]
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    group = shared[0] if shared else Dataset()
    for item in items(group, "WholeSlideMicroscopyImageFrameTypeSequence"):
        item.FrameType = dataset.ImageType
    derived = Dataset()
    derived.DerivationDescription = derivation.description[:1024]
    derived.DerivationCodeSequence = method_codes(derivation) or Sequence()
    derived.SourceImageSequence = Sequence([source_item(source, derivation)])
    group.DerivationImageSequence = Sequence([derived])
    dataset.SharedFunctionalGroupsSequence = Sequence([group])
    dataset.ReferencedSeriesSequence = Sequence([referenced_series(source)])
    if derivation.scale > 1:
        _scale_slide(dataset, reader, derivation.scale)


def _slide_type(old: str, derivation: Derivation) -> list[str]:
    """Return the type of a derived slide, whose fourth value may be NONE or RESAMPLED only."""
    values = old.split("\\") if old else []
    values += ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"][len(values) :]
    contrast = "RESAMPLED" if derivation.scale > 1 else values[3]
    return ["DERIVED", values[1], values[2], contrast]


def _scale_slide(dataset: Dataset, reader: SlideReader, scale: int) -> None:
    """Divide the spacing, and move the origin to the centre of the new first pixel."""
    spacing = geometry(reader.sources[0].file.dataset, 0).spacing_mm
    if spacing is None:
        return
    for group in items(dataset, "SharedFunctionalGroupsSequence"):
        for item in items(group, "PixelMeasuresSequence"):
            item.PixelSpacing = [format_number_as_ds(value / scale) for value in spacing]
    directions = numbers(dataset, "ImageOrientationSlide")
    if directions is None or len(directions) != 6:
        return
    shift = (1 - 1 / scale) / 2
    for origin in items(dataset, "TotalPixelMatrixOriginSequence"):
        for axis, keyword in enumerate("XY"):
            name = f"{keyword}OffsetInSlideCoordinateSystem"
            offset = numbers(origin, name)
            if offset:
                step = directions[axis] * spacing[1] + directions[3 + axis] * spacing[0]
                setattr(origin, name, format_number_as_ds(offset[0] - shift * step))
