"""Reading a TIFF plane by plane, or a box at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ratcli.formats.cache import DecodedCache
from ratcli.formats.closing import ClosingReader
from ratcli.formats.limits import check_pixels
from ratcli.formats.quantise import StoredArray
from ratcli.formats.tiff.annotations import has_imagej_regions, ome_regions_left_out
from ratcli.formats.tiff.metadata import (
    Spacing,
    imagej_calibration,
    magnification_of,
    significant_bits,
    spacing_of,
)
from ratcli.formats.tiff.pages import TiffPages, imagej_facts, structure_errors
from ratcli.formats.tiff.samples import UNSPECIFIED, Samples, describe_samples
from ratcli.formats.tiff.segments import PagePixels, SegmentCache, compression_name, segment_shape
from ratcli.formats.tiff.white import ToldScale
from ratcli.formats.wording import counted
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo

_KIND_NAMES = {
    "svs": "Aperio SVS",
    "ome": "OME-TIFF",
    "imagej": "ImageJ",
    "shaped": "TIFF",
    "plain": "TIFF",
}


class TiffReader(ClosingReader):
    """An open TIFF; its planes are its pages, in the order of the file."""

    def __init__(
        self,
        pages: TiffPages,
        max_pixels: int,
        assume_unit: str | None,
        full_scale: float | None = None,
    ) -> None:
        self.pages = pages
        self._max_pixels = max_pixels
        self._cache: SegmentCache = DecodedCache(lambda segment: segment.nbytes)
        with structure_errors("a page of the TIFF file"):
            is_measured = pages.kind in ("ome", "imagej")
            text = pages.description().decode("utf-8", "replace")
            self.samples = describe_samples(
                pages.first,
                is_measured=is_measured,
                told=ToldScale(
                    significant_bits(pages.kind, text, pages.image),
                    full_scale,
                    imagej_calibration(text) if pages.kind == "imagej" else (1.0, 0.0),
                ),
            )
            self._pixels = [
                PagePixels(page, number, shift=shift, max_pixels=max_pixels)
                for number, (page, shift) in enumerate(pages.planes)
            ]
            self.info = self._describe(assume_unit)

    def stored(self, plane: int, box: Box | None = None) -> StoredArray:
        """Read the numbers on disk, `(H, W, samples)`, including alpha.

        Raises:
            UnreadableInputError: a tile or strip is damaged, or the box is over the limit.
        """
        box = box or Box(0, 0, self.info.height, self.info.width)
        check_pixels(box.height, box.width, self._max_pixels)
        return self._pixels[plane].read(box, self._cache)

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read a plane, or a box of it; see `ScanReader.read`."""
        return self.samples.to_values(self.stored(plane, box))

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        """Return `(H, W)`, true where alpha is 0, or a pixel is NaN or infinite."""
        has_alpha = any(kind != UNSPECIFIED for kind in self.samples.extra_kinds)
        if self.samples.dtype.kind != "f" and not has_alpha:
            # a view of a single value, since the array of a whole slide would fill the memory
            shape = (self.info.height, self.info.width)
            return np.broadcast_to(np.False_, box[2:] if box else shape)
        return _hidden_pixels(self.stored(plane, box), self.samples)

    def close(self) -> None:
        """Close the file."""
        self.pages.file.close()

    def _describe(self, assume_unit: str | None) -> ScanInfo:
        first, white = self.pages.first, self.samples.white
        return ScanInfo(
            planes=len(self.pages.planes),
            channels=self.samples.channels,
            height=int(first.imagelength),
            width=int(first.imagewidth),
            spacing_mm=self._spacing(),
            modality=None,
            unit="RGB" if self.samples.white else assume_unit,
            bits=self.samples.bits,
            format="tiff",
            details=self._details(),
            notices=tuple(self._notices()),
            assumed_white=white.read if white and white.is_assumed else None,
        )

    def _spacing(self) -> Spacing:
        description = self.pages.description().decode("utf-8", "replace")
        return spacing_of(self.pages.kind, description, self.pages.resolution(), self.pages.image)

    def _details(self) -> dict[str, str]:
        pages, first = self.pages, self.pages.first
        height, width = segment_shape(first)
        levels = len(pages.levels) or len(first.subifds or ())
        details = {
            "kind": _KIND_NAMES[pages.kind] + (", BigTIFF" if pages.file.is_bigtiff else ""),
            "type": f"{self.samples.dtype.name}, {_order_name(first)} endian",
            "colours": str(getattr(first.photometric, "name", first.photometric)).lower(),
            "layout": f"{'tiles' if first.is_tiled else 'strips'} of {height} x {width}",
            "compression": compression_name(first),
            "levels": str(1 + levels),
        }
        if self.samples.extras:
            details["extra samples"] = str(self.samples.extras)
        magnification = magnification_of(first.description) if pages.kind == "svs" else None
        if magnification:
            details["magnification"] = f"{magnification:g}"
        return details

    def _notices(self) -> list[str]:
        notices = []
        if self.pages.others:
            count = len(self.pages.others)
            verb = "is" if count == 1 else "are"
            notices.append(f"{counted(count, 'further page')} {verb} copied, not restored")
        notices += self._annotation_notices()
        if self.samples.is_peak_lower and self.samples.white:
            notices.append(f"colours reach from 0 to {self.samples.white.read:g}, which is white")
        if self.samples.palette is not None:
            notices.append("palette colours are read, and written, as RGB")
        if self.samples.bits != self.samples.dtype.itemsize * 8:
            stored = self.samples.dtype.itemsize * 8
            notices.append(f"samples of {self.samples.bits} bits are written with {stored} bits")
        return notices

    def _annotation_notices(self) -> list[str]:
        """Tell which annotations in pixel coordinates an output on a finer grid does not have."""
        notices, pages = [], self.pages
        end = "left out if the output has a finer grid"
        if any(has_imagej_regions(*imagej_facts(page)) for page, _ in pages.planes):
            notices.append(f"regions of interest and overlays of ImageJ are {end}")
        if pages.kind == "ome":
            text = pages.description().decode("utf-8", "replace")
            if count := ome_regions_left_out(text):
                notices.append(f"{count} regions of interest cannot be scaled and are {end}")
        return notices


def _hidden_pixels(stored: StoredArray, samples: Samples) -> BoolArray:
    """Return `(H, W)`, true where alpha is 0 or a colour is no finite number.

    Args:
        stored: `(H, W, samples)`. Alpha that is 0 everywhere is taken as unused.
        samples: what they mean.
    """
    colours, extras = stored[..., : samples.channels], stored[..., samples.channels :]
    alpha = extras[..., [kind != UNSPECIFIED for kind in samples.extra_kinds]]
    hidden: BoolArray = (alpha == 0).any(axis=-1) & alpha.any()
    if stored.dtype.kind == "f":
        hidden |= ~np.isfinite(colours).all(axis=-1)
    return hidden


def _order_name(page: Any) -> str:
    return "big" if page.parent.byteorder == ">" else "little"
