"""Writing a derived whole-slide image tile by tile, with the levels that viewers need."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless
from pydicom.valuerep import format_number_as_ds

from ratcli.formats.atomic import PartialFile, output_errors, refuse_input
from ratcli.formats.closing import FinishingWriter
from ratcli.formats.dicom.derive import derive_header, file_meta, set_layout
from ratcli.formats.dicom.elements import integer, items, numbers, text
from ratcli.formats.dicom.files import guarded
from ratcli.formats.dicom.frame_facts import geometry
from ratcli.formats.dicom.identity import derived_uid, method_codes, referenced_series, source_item
from ratcli.formats.dicom.layout import PixelLayout, WordArray
from ratcli.formats.dicom.slide import STEP, SlideGrid, TileStore, level_grids, make_levels
from ratcli.formats.dicom.slide_reader import SlideReader
from ratcli.formats.dicom.uncertainty import refuse_colour
from ratcli.formats.tiling import box_to_fill
from ratcli.scan import Box, Derivation, FloatArray

_MAX_NATIVE_BYTES = 1 << 31
_ONE_FILE = (
    "ConcatenationUID",
    "SOPInstanceUIDOfConcatenationSource",
    "InConcatenationNumber",
    "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber",
)


class SlideWriter(FinishingWriter):
    """A derived slide being written, all tiles row by row (TILED_FULL).

    If the grid is finer than the source, coarser levels for viewers are written as well: files of
    the same series beside the finest, such as `<name>_level1.dcm`.

    Args:
        reader: the source.
        path: the file.
        derivation: what was done.
        overwrite: whether an existing file or folder of that name may be replaced.

    Raises:
        OutputError: the name is taken or is the source's, or the folder cannot be written.
    """

    def __init__(
        self, reader: SlideReader, path: Path, derivation: Derivation, *, overwrite: bool
    ) -> None:
        refuse_input(path, [source.path for source in reader.sources])
        refuse_colour(derivation, reader.info.channels)
        self._reader, self._derivation = reader, derivation
        grid = reader.grid if derivation.scale == 1 else reader.grid.scaled(derivation.scale)
        source = reader.sources[0]
        self._syntax = _syntax(source.file.syntax, grid, source.layout)
        self._layout = _layout(source.layout, grid, self._syntax)
        grids = level_grids(grid) if derivation.scale == STEP else [grid]
        partials = [
            PartialFile(_level_path(path, number), overwrite=overwrite)
            for number in range(len(grids))
        ]
        with output_errors(path):
            self._finest = make_levels(grids, self._layout, self._syntax, path.parent)
        levels = zip(self._finest.levels, partials, strict=True)
        self._outputs = [_Output(*level, number) for number, level in enumerate(levels)]

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write a box of the output's grid; each pixel arrives once.

        Raises:
            OutputError: the disk is full.
        """
        grid = self._finest.grid
        box = box_to_fill(values, box, (self._layout.samples, grid.height, grid.width))
        words = self._quantise(values)
        with output_errors(self._outputs[0].partial.final):
            self._finest.put(plane, box, words)

    def discard(self) -> None:
        """Remove unfinished files and stored tiles."""
        for output in self._outputs:
            output.partial.discard()
        self._finest.close()

    def finish(self) -> None:
        """Save all levels, and give them their names."""
        if not self._finest.is_whole:
            raise ValueError("a slide was closed before all of it was written")
        for output in self._outputs:
            self._save(output)
        done: list[Path] = []
        try:
            for output in reversed(self._outputs):  # the finest last: if it exists, all levels do
                output.partial.commit()
                done.append(output.partial.final)
        except BaseException:
            for path in done:
                path.unlink(missing_ok=True)
            raise

    def _quantise(self, values: FloatArray) -> WordArray:
        """Return words `(H, W, C)`; slides hold RGB from 0 to 1, or gray numbers."""
        if not np.all(np.isfinite(values)):
            raise ValueError("values to be written must be finite")
        low, high = self._layout.limits
        top = high if self._layout.samples > 1 else 1
        samples = np.clip(np.rint(values.astype(np.float64) * top), low, high).astype(np.int32)
        return self._layout.pack(samples.transpose(1, 2, 0))

    def _save(self, output: _Output) -> None:
        source, level = self._reader.sources[0], output.level
        with guarded(source.path, "the header"):
            dataset = derive_header(source, self._derivation)
            set_layout(dataset, level.layout)
            _describe_slide(dataset, self._reader, self._derivation, level.grid)
            if output.number:
                _describe_level(dataset, output.number, self._derivation)
            coarser = STEP**output.number / self._derivation.scale
            _set_spacing(dataset, self._reader, coarser)
            dataset.file_meta = file_meta(dataset, self._syntax)
        with output_errors(output.partial.final):
            level.store.save(dataset, output.partial.path)


@dataclasses.dataclass(frozen=True)
class _Output:
    """A file that is being written, and its level.

    Attributes:
        level: its tiles.
        partial: its file.
        number: 0 for the finest level.
    """

    level: TileStore
    partial: PartialFile
    number: int


def _level_path(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}_level{number}{path.suffix}") if number else path


def _syntax(source: UID, grid: SlideGrid, layout: PixelLayout) -> UID:
    """Return a lossless syntax that slide viewers read; large slides must be compressed."""
    if source.is_compressed or grid.frames * layout.frame_bytes > _MAX_NATIVE_BYTES:
        return JPEG2000Lossless
    return ExplicitVRLittleEndian


def _layout(layout: PixelLayout, grid: SlideGrid, syntax: UID) -> PixelLayout:
    if layout.samples > 1:
        colour = "YBR_RCT" if syntax.is_compressed else "RGB"
        layout = dataclasses.replace(layout, photometric=colour, planar=False)
    return dataclasses.replace(layout, rows=grid.tile_rows, columns=grid.tile_columns)


def _describe_slide(
    dataset: Dataset, reader: SlideReader, derivation: Derivation, grid: SlideGrid
) -> None:
    """Write the elements of slides: the matrix, its origin, the order of its tiles."""
    dataset.NumberOfFrames = grid.frames
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = grid.height, grid.width
    dataset.DimensionOrganizationType = "TILED_FULL"
    dataset.ImageType = _slide_type(text(dataset, "ImageType"), derivation)
    for keyword in (*_ONE_FILE, "PerFrameFunctionalGroupsSequence", "PyramidUID", "PyramidLabel"):
        if keyword in dataset:
            delattr(dataset, keyword)
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    group = shared[0] if shared else Dataset()
    for item in items(group, "WholeSlideMicroscopyImageFrameTypeSequence"):
        item.FrameType = dataset.ImageType
    derived = Dataset()
    derived.DerivationDescription = derivation.description[:1024]
    derived.DerivationCodeSequence = method_codes(derivation) or Sequence()
    references = [source_item(part, derivation) for part in reader.sources]
    dataset.SourceImageSequence = Sequence(references)
    derived.SourceImageSequence = Sequence(references)
    group.DerivationImageSequence = Sequence([derived])
    dataset.SharedFunctionalGroupsSequence = Sequence([group])
    dataset.ReferencedSeriesSequence = Sequence([referenced_series(reader.sources)])


def _describe_level(dataset: Dataset, number: int, derivation: Derivation) -> None:
    """Make a coarser level a separate image of the series."""
    finest = str(dataset.SOPInstanceUID)
    dataset.SOPInstanceUID = derived_uid(f"level {number} of\0{finest}", derivation)
    dataset.InstanceNumber = (integer(dataset, "InstanceNumber") or 1) + number


def _slide_type(old: str, derivation: Derivation) -> list[str]:
    """Return the type of a derived slide; its fourth value may only be NONE or RESAMPLED."""
    values = old.split("\\") if old else []
    values += ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"][len(values) :]
    contrast = "RESAMPLED" if derivation.scale > 1 else values[3]
    return ["DERIVED", values[1], values[2], contrast]


def _set_spacing(dataset: Dataset, reader: SlideReader, coarser: float) -> None:
    """Write the spacing, and move the origin to the centre of the new first pixel.

    Args:
        dataset: header of the derived image; changed.
        reader: the source.
        coarser: the new spacing in pixels of the source.
    """
    spacing = geometry(reader.sources[0].file.dataset, 0).spacing_mm
    if spacing is None or coarser == 1:
        return
    for group in items(dataset, "SharedFunctionalGroupsSequence"):
        for item in items(group, "PixelMeasuresSequence"):
            item.PixelSpacing = [format_number_as_ds(value * coarser) for value in spacing]
    directions = numbers(dataset, "ImageOrientationSlide")
    if directions is None or len(directions) != 6:
        return
    shift = (1 - coarser) / 2
    for origin in items(dataset, "TotalPixelMatrixOriginSequence"):
        for axis, keyword in enumerate("XY"):
            name = f"{keyword}OffsetInSlideCoordinateSystem"
            offset = numbers(origin, name)
            if offset:
                step = directions[axis] * spacing[1] + directions[3 + axis] * spacing[0]
                setattr(origin, name, format_number_as_ds(offset[0] - shift * step))
