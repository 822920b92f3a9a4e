"""Reading a whole-slide image, a box at a time."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

import numpy as np

from ratcli.formats.cache import DecodedCache
from ratcli.formats.closing import ClosingReader
from ratcli.formats.dicom.details import describe
from ratcli.formats.dicom.elements import code
from ratcli.formats.dicom.files import guarded
from ratcli.formats.dicom.frame_facts import geometry
from ratcli.formats.dicom.frames import FrameFile, frame_bytes, to_rgb
from ratcli.formats.dicom.geometry import PlaneGeometry
from ratcli.formats.dicom.slide import TilePlace, read_grid
from ratcli.formats.dicom.values import ValueMap
from ratcli.formats.limits import check_pixels
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo


class SlideReader(ClosingReader):
    """A tiled slide; a plane is the whole slide in one optical path and depth.

    Args:
        sources: the file, or the parts of a concatenation in their order.
        max_pixels: most pixels to read at once.
        assume_unit: unit of gray values if the header does not say.

    Attributes:
        sources: the files.
        grid: how the slide is cut into tiles.
        info: facts about the slide.
    """

    def __init__(
        self, sources: Sequence[FrameFile], max_pixels: int, assume_unit: str | None
    ) -> None:
        self.sources = tuple(sources)
        with guarded(sources[0].path, "the header"):
            self.grid, self._index = read_grid(sources)
        self._ends = list(itertools.accumulate(source.layout.frames for source in sources))
        self._max_pixels = max_pixels
        self._cache = DecodedCache(frame_bytes)
        self.info = self._describe(assume_unit)

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read a box of the slide; missing tiles are white.

        Returns:
            float32 `(C, H, W)`; RGB from 0 to 1.

        Raises:
            UnreadableInputError: pixel data are damaged, or more is asked for than the limit.
        """
        box = box or Box(0, 0, self.grid.height, self.grid.width)
        check_pixels(box.height, box.width, self._max_pixels, self.sources[0].path.name)
        channels = self.info.channels
        values = np.full((channels, box.height, box.width), 1 if channels > 1 else 0, np.float32)
        for down, across in self.grid.touched(box):
            tile = TilePlace(plane, down, across)
            if tile in self._index:
                area = self.grid.area(down, across)
                part = area.overlap(box)
                rows, columns = part.within(box).slices
                tile_rows, tile_columns = part.within(area).slices
                values[:, rows, columns] = self._tile(tile)[:, tile_rows, tile_columns]
        return values

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        """Return `(H, W)`, false everywhere; a view that takes no memory."""
        whole = Box(0, 0, self.grid.height, self.grid.width)
        return np.broadcast_to(np.bool_(False), (box or whole)[2:])

    def place(self, plane: int) -> PlaneGeometry:
        """Return where a plane is in a patient: nowhere, since it is a slide."""
        return PlaneGeometry()

    def close(self) -> None:
        """Empty the cache; files are open only while a frame is read."""
        self._cache.clear()

    def _tile(self, tile: TilePlace) -> FloatArray:
        number = self._index[tile]
        part = bisect.bisect_right(self._ends, number)
        source, first = self.sources[part], self._ends[part] - self.sources[part].layout.frames
        frame = self._cache.get(number, lambda: source.frame(number - first))
        if source.layout.samples > 1:
            return to_rgb(frame, source.layout)
        return source.layout.unpack(frame.words[..., 0])[None].astype(np.float32)

    def _describe(self, assume_unit: str | None) -> ScanInfo:
        source, grid = self.sources[0], self.grid
        with guarded(source.path, "the header"):
            spacing = geometry(source.file.dataset, 0).spacing_mm or (None, None)
            details = describe(source.file, source.layout, [ValueMap()])
            modality = code(source.file.dataset, "Modality")[:16] or None
        details["tiles"] = f"{len(self._index)} of {grid.tile_rows} x {grid.tile_columns}"
        return ScanInfo(
            planes=grid.planes,
            channels=source.layout.samples,
            height=grid.height,
            width=grid.width,
            spacing_mm=(None, *spacing),
            modality=modality,
            unit="RGB" if source.layout.samples > 1 else assume_unit,
            bits=source.layout.stored,
            format="dicom",
            details=details,
        )
