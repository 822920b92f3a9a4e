"""What the samples of a TIFF page mean: gray, colour, palette, alpha, inverted or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ratcli.errors import UnreadableInputError
from ratcli.formats.quantise import StoredArray, to_native, to_stored
from ratcli.formats.tiff.compressions import APERIO_RGB, APERIO_YCBCR
from ratcli.formats.tiff.white import ToldScale, White, white_of, white_of_palette
from ratcli.scan import FloatArray

MINISWHITE, MINISBLACK, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
UNSPECIFIED, PREMULTIPLIED = 0, 1
JPEG_COMPRESSIONS = (6, 7, 33007, 34892)

_OTHER_COLOURS = {
    4: "a transparency mask",
    5: "CMYK colours",
    8: "CIE L*a*b* colours",
    9: "ICC L*a*b* colours",
    10: "ITU L*a*b* colours",
    32803: "a raw colour filter array",
    32844: "LogL values",
    32845: "LogLuv colours",
    34892: "raw linear colours",
}
_MOST_SAMPLES = 8
_ROWS_AT_ONCE = 32
_WHOLE_BITS = (8, 16, 32, 64)


@dataclass(frozen=True)
class Samples:
    """How stored samples map to values, and back.

    Attributes:
        channels: 1 gray, 3 colour.
        extra_kinds: the tag ExtraSamples for each further sample of a pixel: `UNSPECIFIED`,
            `PREMULTIPLIED` alpha or alpha that is not; never shown to a network.
        dtype: type of a decoded sample.
        bits: bits of a sample in the file.
        inverted: whether stored 0 is white; unsigned numbers are then counted from white.
        is_tinted: whether the page has a palette that only shows the numbers in colours.
        palette: `(entries, 3)` colours, or None.
        white: full scale of colours; None if values are the stored numbers.
        calibration: what a stored step of gray is, and the value of stored 0 (ImageJ).
    """

    channels: int
    extra_kinds: tuple[int, ...]
    dtype: np.dtype[Any]
    bits: int
    inverted: bool
    is_tinted: bool
    palette: npt.NDArray[Any] | None
    white: White | None
    calibration: tuple[float, float] = (1.0, 0.0)

    @property
    def is_peak_lower(self) -> bool:
        """Whether integer colours that are written fill only the lower part of their type."""
        if self.white is None or self.stored_dtype.kind == "f":
            return False
        return self.white.written < np.iinfo(self.stored_dtype).max

    @property
    def extras(self) -> int:
        """How many further samples a pixel has."""
        return len(self.extra_kinds)

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Type of a written sample: a palette's colours, else the source's own."""
        return self.dtype if self.palette is None else self.palette.dtype

    @property
    def stored_bits(self) -> int:
        """Bits of a written sample: whole bytes, also if the source packs 10, 12 or 14."""
        return self.stored_dtype.itemsize * 8

    @property
    def photometric(self) -> int:
        """The tag PhotometricInterpretation of what is written."""
        if self.channels == 3:
            return RGB
        if self.is_tinted and self.bits == self.stored_bits:
            return PALETTE
        is_kept = self.bits in _WHOLE_BITS or self.dtype.kind != "u"
        return MINISWHITE if self.inverted and is_kept else MINISBLACK

    @property
    def is_exact(self) -> bool:
        """Whether float32 holds every stored number, so that quantising gives it back."""
        is_small = self.dtype.itemsize <= (4 if self.dtype.kind == "f" else 2)
        return is_small and self.calibration == (1, 0)

    def to_values(self, stored: StoredArray) -> FloatArray:
        """Return float32 `(C, H, W)` of stored `(H, W, samples)`."""
        if self.palette is not None:
            stored = self.palette[stored[..., 0].astype(np.intp)]
        colours = np.moveaxis(stored[..., : self.channels], -1, 0)
        if self.inverted:
            colours = self._complement(colours, self.bits)
        if self.white is None:
            return to_native(colours, *self.calibration)
        values: FloatArray = np.divide(colours, np.float32(self.white.read), dtype=np.float32)
        return values

    def to_samples(self, values: FloatArray) -> StoredArray:
        """Return stored `(H, W, C)` of values `(C, H, W)`.

        Raises:
            ValueError: NaN, and the type on disk is an integer.
        """
        if self.white is not None and self.stored_dtype.kind == "f":
            values = values * np.float32(self.white.written)
        elif self.white is not None:
            return _to_colours(values, self.stored_dtype, self.white.written)
        stored = to_stored(values, self.stored_dtype, *self.calibration)
        if self.photometric == MINISWHITE:
            stored = self._complement(stored, self.stored_bits)
        return np.ascontiguousarray(np.moveaxis(stored, 0, -1))

    def written_extras(self, extras: StoredArray) -> StoredArray:
        """Return extra samples in the scale of the colours that are written."""
        white = self.white
        if self.palette is not None or white is None or white.read == white.written:
            return extras
        scaled = np.rint(extras.astype(np.float64) * white.written / white.read)
        kept: StoredArray = np.where(
            np.array(self.extra_kinds) == UNSPECIFIED, extras, scaled
        ).astype(extras.dtype)
        return kept

    def _complement(self, stored: StoredArray, bits: int) -> StoredArray:
        if self.dtype.kind != "u":
            return stored
        complement: StoredArray = np.subtract(np.array((1 << bits) - 1, self.dtype), stored)
        return complement


def of_uncertainty(samples: Samples) -> Samples:
    """Return how standard deviations of an image's values are stored: float32, without alpha."""
    return replace(
        samples,
        extra_kinds=(),
        dtype=np.dtype(np.float32),
        bits=32,
        inverted=False,
        is_tinted=False,
        palette=None,
        white=None,
        calibration=(1.0, 0.0),
    )


def describe_samples(page: Any, *, is_measured: bool, told: ToldScale) -> Samples:
    """Say what the samples of a page mean.

    Args:
        page: tifffile's page.
        is_measured: whether a palette only colours measured numbers (ImageJ and OME look-up
            tables), and the numbers are the image.
        told: what the description and the user say.

    Raises:
        UnreadableInputError: bits, colours or counts that are not supported.
        UnsuitableInputError: the samples cannot reach the full scale.
    """
    photometric = _photometric(page)
    dtype = _check_type(page, is_palette=photometric == PALETTE and not is_measured)
    _check_colours(page, photometric)
    channels = 3 if photometric in (RGB, YCBCR) else 1
    count = int(page.samplesperpixel)
    if count < channels or count > _MOST_SAMPLES or (channels == 1 and count > 2):
        raise UnreadableInputError(f"a pixel has {count} samples, expected 1 (gray) or 3 (RGB)")
    bits = int(page.bitspersample)
    palette = None if photometric != PALETTE or is_measured else _palette(page, bits)
    white = None if palette is None else white_of_palette(palette)
    if channels == 3 and (told.full_scale or (dtype.kind == "u" and bits <= 16)):
        white = white_of(page, told)
    return Samples(
        channels=channels if palette is None else 3,
        extra_kinds=_extra_kinds(page, count - channels),
        dtype=dtype,
        bits=bits,
        inverted=photometric == MINISWHITE,
        is_tinted=photometric == PALETTE and is_measured,
        palette=palette,
        white=white,
        calibration=told.calibration if dtype.kind == "u" else (1, 0),
    )


def _check_colours(page: Any, photometric: int) -> None:
    if photometric in _OTHER_COLOURS or photometric not in (0, 1, 2, 3, 6):
        found = _OTHER_COLOURS.get(photometric, f"colours of code {photometric}")
        raise UnreadableInputError(f"the pixels are {found}, expected gray or RGB")
    if photometric == YCBCR and int(page.compression) not in JPEG_COMPRESSIONS:
        raise UnreadableInputError("YCbCr colours are read from JPEG compressed TIFF only")


def _to_colours(values: FloatArray, dtype: np.dtype[Any], peak_stored: float) -> StoredArray:
    """Return values `(C, H, W)` from 0 to 1 as integers `(H, W, C)` from 0 to a peak.

    float32 is exact enough for them. Some rows at a time fit the cache, which is faster than new
    memory for the whole.
    """
    peak = np.float32(peak_stored)
    channels, height, width = values.shape
    stored: StoredArray = np.empty((height, width, channels), dtype)
    for top in range(0, height, _ROWS_AT_ONCE):
        rows = values[:, top : top + _ROWS_AT_ONCE] * peak
        np.rint(rows, out=rows)
        np.clip(rows, 0, peak, out=rows)
        if np.isnan(rows.max()):
            raise ValueError(f"NaN cannot be stored as {dtype.name}")
        stored[top : top + _ROWS_AT_ONCE] = np.moveaxis(rows, 0, -1)
    return stored


def _check_type(page: Any, *, is_palette: bool) -> np.dtype[Any]:
    bits = page.bitspersample
    if page.dtype is None or not isinstance(bits, int):
        raise UnreadableInputError(f"samples of {bits} bits and format {page.sampleformat}")
    dtype: np.dtype[Any] = np.dtype(page.dtype)
    if dtype.kind == "b" and is_palette:
        return dtype
    if dtype.kind == "b":
        raise UnreadableInputError("the pixels are black or white (1 bit), expected 8 bits or more")
    if dtype.kind not in "iuf":
        raise UnreadableInputError(f"the samples are {dtype.name}, expected real numbers")
    return dtype


def _photometric(page: Any) -> int:
    """Return what decoded samples are: RGB for the JPEG 2000 of Aperio, else what the tag says."""
    if int(page.compression) in (APERIO_YCBCR, APERIO_RGB) and int(page.samplesperpixel) >= 3:
        return RGB
    return int(page.photometric) if page.photometric is not None else MINISBLACK


def _extra_kinds(page: Any, count: int) -> tuple[int, ...]:
    kinds = tuple(int(kind) for kind in page.extrasamples)[:count]
    return kinds + (UNSPECIFIED,) * (count - len(kinds))


def _palette(page: Any, bits: int) -> npt.NDArray[Any]:
    colormap = page.colormap
    if colormap is None or bits > 16 or colormap.shape != (3, 1 << bits):
        raise UnreadableInputError("the palette of the page is missing or too short")
    colours = np.ascontiguousarray(colormap.T)
    if (colours % 257 == 0).all():  # 8-bit colours, written twice into 16 bits
        return (colours // 257).astype(np.uint8)
    if colours.max() < 256:  # old writers left them in the low byte
        return colours.astype(np.uint8)
    return colours.astype(np.uint16)
