"""Reading planes of classic series and multi-frame objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ratcli.errors import UnreadableInputError
from ratcli.formats.cache import DecodedCache
from ratcli.formats.closing import ClosingReader
from ratcli.formats.dicom.codec import JPEG_LOSSY, Frame, output_syntax
from ratcli.formats.dicom.details import describe, uid_name
from ratcli.formats.dicom.elements import check_numbers, code, is_localizer, text
from ratcli.formats.dicom.files import guarded
from ratcli.formats.dicom.frame_facts import geometry, value_map
from ratcli.formats.dicom.frames import FrameFile, frame_bytes, to_rgb
from ratcli.formats.dicom.geometry import PlaneGeometry, distance, notices, plane_spacing
from ratcli.formats.dicom.headers import header_of
from ratcli.formats.dicom.identity import image_place
from ratcli.formats.dicom.layout import PixelLayout
from ratcli.formats.dicom.overlays import lost_overlays
from ratcli.formats.dicom.slide import is_slide
from ratcli.formats.dicom.slide_reader import SlideReader
from ratcli.formats.dicom.suv import find_suv_factor
from ratcli.formats.dicom.told_unit import refuse_modality_table, told_unit
from ratcli.formats.dicom.values import ValueMap
from ratcli.formats.source import ScanSource
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo

_BY_CHANCE = (
    "the padding value is also a measured value: scattered pixels that have it are restored"
)
_LOST_OVERLAYS = "an overlay cannot be enlarged and is left out if the output has a finer grid"


@dataclass(frozen=True)
class Plane:
    """A frame of a file.

    Attributes:
        source: number of the file in the reader's `sources`.
        frame: number of the frame in the file.
        values: what its stored values mean.
        geometry: where it lies.
    """

    source: int
    frame: int
    values: ValueMap
    geometry: PlaneGeometry


class DicomReader(ClosingReader):
    """A series of single-frame files, or one multi-frame file.

    Args:
        sources: the files, in order.
        assume_unit: unit of the values if the header does not say.

    Attributes:
        sources: the files, in order.
        planes: the frames of all files, in order.
        info: facts about the scan.
    """

    def __init__(self, sources: Sequence[FrameFile], assume_unit: str | None = None) -> None:
        self.sources = tuple(sources)
        self._notices = _header_notices(self.sources)
        self.planes = tuple(
            _plane(source, number, frame)
            for number, source in enumerate(self.sources)
            for frame in range(source.layout.frames)
        )
        self._cache = DecodedCache(frame_bytes)
        self._masks: DecodedCache[BoolArray] = DecodedCache(lambda mask: mask.nbytes)
        self.info = self._describe(assume_unit)

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read a plane, or a box of it, in the scan's unit.

        Returns:
            float32 `(C, H, W)`; RGB from 0 to 1.

        Raises:
            UnreadableInputError: pixel data are damaged.
        """
        frame, layout = self.frame(plane), self.layout(plane)
        rows, columns = box.slices if box else (slice(None), slice(None))
        if layout.samples > 1:
            return to_rgb(Frame(frame.words[rows, columns], frame.photometric), layout)
        stored = layout.unpack(frame.words[rows, columns, 0])
        return self.planes[plane].values.to_values(stored)[None]

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        """Return where there is no measurement; see `ScanReader.padding`.

        If pixels measure a padding value by chance, `info` gets a notice.
        """
        layout, values = self.layout(plane), self.planes[plane].values
        part = box.slices if box else ...
        if values.padding is None:
            return np.broadcast_to(np.False_, (layout.rows, layout.columns))[part]
        return self._masks.get(plane, lambda: self._mask(plane))[part]

    def _mask(self, plane: int) -> BoolArray:
        values = self.planes[plane].values
        stored = self.layout(plane).unpack(self.frame(plane).words[..., 0])
        if values.by_chance(stored) is not None:
            self._add_notice(_BY_CHANCE)
        return values.is_padding(stored)

    def _add_notice(self, notice: str) -> None:
        if notice not in self.info.notices:
            self.info = replace(self.info, notices=(*self.info.notices, notice))

    def frame(self, plane: int) -> Frame:
        """Return a plane's words as they stand in the file; the last ones are cached."""
        return self._cache.get(plane, lambda: self._decode(plane))

    def place(self, plane: int) -> PlaneGeometry:
        """Return where a plane is in the patient."""
        return self.planes[plane].geometry

    def planes_of(self, source: int) -> range:
        """Return the planes that a file holds."""
        first = sum(item.layout.frames for item in self.sources[:source])
        return range(first, first + self.sources[source].layout.frames)

    def layout(self, plane: int) -> PixelLayout:
        """Return how a plane's samples are laid out."""
        return self.sources[self.planes[plane].source].layout

    def close(self) -> None:
        """Empty the caches; files are open only while a frame is read."""
        self._cache.clear()
        self._masks.clear()

    def _decode(self, plane: int) -> Frame:
        place = self.planes[plane]
        try:
            frame = self.sources[place.source].frame(place.frame)
        except UnreadableInputError as error:
            if len(self.sources) == 1:
                raise
            hint = "Take it out of the series, and the other slices are restored without it."
            raise UnreadableInputError(str(error), hint=hint) from None
        if frame.notice:
            self._add_notice(frame.notice)
        return frame

    def _suv_factor(self) -> tuple[float | None, str]:
        """Return the factor to SUV; a series has one dose and weight, those of its first file."""
        headers = [source.file.dataset for source in self.sources]
        return find_suv_factor(headers[0], headers)

    def _unit(self, modality: str) -> str | None:
        """Return the unit that the headers tell.

        Raises:
            UnreadableInputError: they tell different ones.
        """
        found = [told_unit(source.file.dataset, modality) for source in self.sources]
        different = sorted({unit for unit in found if unit is not None})
        if len(different) > 1:
            raise UnreadableInputError(
                f"{self.sources[0].path.name} and the other files of its series are in "
                f"different units: {', '.join(different)}"
            )
        return found[0]

    def _describe(self, assume_unit: str | None) -> ScanInfo:
        first = self.sources[0]
        dataset, layout = first.file.dataset, first.layout
        with guarded(first.path, "the header"):
            modality = code(dataset, "Modality")[:16] or None
            places = [plane.geometry for plane in self.planes]
            known_unit = "RGB" if layout.samples > 1 else self._unit(modality or "")
            spacing = places[0].spacing_mm or (None, None)
            details = describe(first.file, layout, [plane.values for plane in self.planes])
            factor, problem = self._suv_factor() if modality == "PT" else (None, "")
            if modality == "PT" and known_unit == "SUV":
                factor, problem = 1.0, ""
            written = output_syntax(first.file.syntax)
            if written != first.file.syntax:
                details["written in"] = uid_name(written)
        return ScanInfo(
            planes=len(self.planes),
            channels=layout.samples,
            height=layout.rows,
            width=layout.columns,
            spacing_mm=(plane_spacing(places), *spacing),
            modality=modality,
            unit=known_unit or assume_unit,
            bits=layout.stored,
            format="dicom",
            details=details,
            notices=(*notices(places), *self._notices, *_origin_notices(first)),
            suv_factor=factor,
            suv_problem=problem,
            positions_mm=_positions(places),
            origins_mm=_origins(places),
            directions=places[0].orientation,
            is_localizer=is_localizer(dataset),
        )


def open_series(
    source: ScanSource, *, max_pixels: int, assume_unit: str | None
) -> DicomReader | SlideReader:
    """Open the files of one series, see `ratcli.formats.open_scan`.

    Raises:
        UnreadableInputError: a file is damaged, or its image has another size than the first.
    """
    files = [header_of(path, source.headers) for path in source.paths]
    sources = [FrameFile(file, max_pixels) for file in files]
    _count_repeats(sources)
    first = sources[0].layout
    for item in sources[1:]:
        layout = item.layout
        if (layout.rows, layout.columns, layout.samples) != (
            first.rows,
            first.columns,
            first.samples,
        ):
            raise UnreadableInputError(
                f"{item.path.name} has {layout.rows} x {layout.columns} pixels, but the "
                f"series begins with {first.rows} x {first.columns}"
            )
    if is_slide(sources[0].file.dataset):
        return SlideReader(sources, max_pixels, assume_unit)
    return DicomReader(sources, assume_unit)


def _count_repeats(sources: Sequence[FrameFile]) -> None:
    """Number the files that share an identifier and a place, such as phases of some scanners."""
    seen: Counter[tuple[str, ...]] = Counter()
    for source in sources:
        dataset = source.file.dataset
        same = (text(dataset, "SOPInstanceUID"), *image_place(dataset))
        source.repeat = seen[same]
        seen[same] += 1


def _origin_notices(first: FrameFile) -> list[str]:
    """Return what the first file says about the origin of its pixels that affects a result."""
    dataset, found = first.file.dataset, []
    if is_localizer(dataset):
        found.append("the image is a localizer (scout), not a slice")
    if first.file.syntax in JPEG_LOSSY or code(dataset, "LossyImageCompression") == "01":
        found.append("the image was compressed with loss before")
    return found


def _positions(places: Sequence[PlaneGeometry]) -> tuple[float, ...] | None:
    """Return the place of each plane along the normal in mm, or None if one has no position."""
    found = [distance(place) for place in places]
    known = tuple(place for place in found if place is not None)
    return known if len(known) == len(found) else None


def _origins(places: Sequence[PlaneGeometry]) -> tuple[tuple[float, ...], ...] | None:
    known = tuple(place.position for place in places if place.position is not None)
    return known if len(known) == len(places) else None


def _header_notices(sources: Sequence[FrameFile]) -> tuple[str, ...]:
    """Return what is odd about the headers, each oddity once for the whole series."""
    found: dict[str, None] = {}
    for source in sources:
        with guarded(source.path, "the header"):
            refuse_modality_table(source.file.dataset, source.path.name)
            found |= dict.fromkeys(check_numbers(source.file.dataset, source.path.name))
            if source.layout.samples > 1 and lost_overlays(source.file.dataset):
                found[_LOST_OVERLAYS] = None
        found |= dict.fromkeys(source.notices)
    return tuple(found)


def _plane(source: FrameFile, number: int, frame: int) -> Plane:
    with guarded(source.path, "the header"):
        values = value_map(source.file.dataset, frame, source.layout)
        place = geometry(source.file.dataset, frame)
    if values is None:
        raise UnreadableInputError(f"{source.path.name}: RescaleSlope is 0")
    return Plane(number, frame, values, place)
