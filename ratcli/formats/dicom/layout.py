"""How the samples of an image are laid out: sizes, bits, sign, colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.elements import code, integer, items, strings
from ratcli.formats.limits import check_pixels

WordArray = npt.NDArray[np.unsignedinteger]
StoredArray = npt.NDArray[np.int32]

_GRAY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")


@dataclass(frozen=True)
class PixelLayout:
    """The Image Pixel module of a header.

    Attributes:
        rows: of a frame.
        columns: of a frame.
        samples: 1, or 3 for colour.
        frames: number of frames.
        allocated: bits of a word, 8 or 16.
        stored: bits of a word that hold the sample.
        high_bit: the sample's highest bit in the word.
        signed: whether samples are two's complement.
        photometric: photometric interpretation.
        planar: whether colours lie in planes one after the other.
    """

    rows: int
    columns: int
    samples: int
    frames: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: bool

    @property
    def word_bytes(self) -> int:
        """Bytes of a word."""
        return self.allocated // 8

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame that is not compressed."""
        pixels = self.rows * self.columns
        if self.photometric == "YBR_FULL_422":
            return pixels * 2 * self.word_bytes
        return pixels * self.samples * self.word_bytes

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest value that can be stored."""
        if self.signed:
            return -(1 << (self.stored - 1)), (1 << (self.stored - 1)) - 1
        return 0, (1 << self.stored) - 1

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Unsigned type of a word, little endian."""
        return np.dtype(f"<u{self.word_bytes}")

    def wrap(self, value: int) -> int:
        """Return a padding value with the sign of the samples; some headers have the wrong sign."""
        value &= (1 << self.allocated) - 1
        sign = 1 << (self.allocated - 1)
        return value - 2 * sign if self.signed and value & sign else value

    def unpack(self, words: WordArray) -> StoredArray:
        """Extract the samples from words.

        Args:
            words: unsigned, any shape.

        Returns:
            int32 of the same shape.
        """
        shift = self.high_bit + 1 - self.stored
        samples = (words.astype(np.int32) >> shift) & ((1 << self.stored) - 1)
        if self.signed:
            sign = 1 << (self.stored - 1)
            samples = (samples ^ sign) - sign
        return samples.astype(np.int32)

    def pack(self, samples: StoredArray, words: WordArray | None = None) -> WordArray:
        """Put samples into words.

        Args:
            samples: int32 within `limits`.
            words: the source's words, same shape: words whose sample does not change stay as
                they are, and so do bits outside the sample where an overlay uses them.

        Returns:
            Words of `dtype`, same shape. Bits above a signed sample repeat its sign.
        """
        shift = self.high_bit + 1 - self.stored
        bits = (samples.astype(np.int64) << shift) & ((1 << self.allocated) - 1)
        packed: WordArray = bits.astype(self.dtype)
        if words is None:
            return packed
        old = self.unpack(words)
        if np.any(self.pack(old) != words):
            mask = np.array(((1 << self.stored) - 1) << shift, self.dtype)
            packed = (packed & mask) | (words & ~mask)
        return np.where(old == samples, words, packed)


def read_layout(dataset: Dataset, name: str, max_pixels: int) -> PixelLayout:
    """Read the Image Pixel module and refuse images that are not supported.

    Args:
        dataset: the header.
        name: of the file, for messages.
        max_pixels: most pixels to decode at once.

    Raises:
        UnreadableInputError: missing, contradictory, too large, or not supported.
    """
    allocated = _required(dataset, "BitsAllocated", name)
    stored = integer(dataset, "BitsStored")
    stored = allocated if stored is None else stored
    high_bit = integer(dataset, "HighBit")
    layout = PixelLayout(
        rows=_required(dataset, "Rows", name),
        columns=_required(dataset, "Columns", name),
        samples=integer(dataset, "SamplesPerPixel") or 1,
        frames=_frames(dataset, name),
        allocated=allocated,
        stored=stored,
        high_bit=stored - 1 if high_bit is None else high_bit,
        signed=integer(dataset, "PixelRepresentation") == 1,
        photometric=code(dataset, "PhotometricInterpretation") or "MONOCHROME2",
        planar=integer(dataset, "PlanarConfiguration") == 1,
    )
    check_pixels(layout.rows, layout.columns, max_pixels, name)
    _check_kind(layout, name)
    return layout


def lacks_frame_count(dataset: Dataset) -> bool:
    """Return whether a single image has an empty NumberOfFrames, or 0, which counts as 1."""
    is_several = len(items(dataset, "PerFrameFunctionalGroupsSequence")) > 1
    if "NumberOfFrames" not in dataset or is_several or "TotalPixelMatrixColumns" in dataset:
        return False
    return strings(dataset, "NumberOfFrames") in ([], [""], ["0"])


def _required(dataset: Dataset, keyword: str, name: str) -> int:
    value = integer(dataset, keyword)
    if value is None or value < 0:
        raise UnreadableInputError(f"{name}: the header has no valid {keyword}")
    return value


def _frames(dataset: Dataset, name: str) -> int:
    if "NumberOfFrames" not in dataset or lacks_frame_count(dataset):
        return 1
    frames = integer(dataset, "NumberOfFrames")
    if frames is None or frames < 1:
        raise UnreadableInputError(f"{name}: the header has no valid NumberOfFrames")
    return frames


def _check_kind(layout: PixelLayout, name: str) -> None:
    if layout.allocated not in (8, 16):
        raise UnreadableInputError(
            f"{name}: samples have {layout.allocated} bits, but 8 and 16 are read"
        )
    if not (1 < layout.stored <= layout.allocated and layout.high_bit < layout.allocated):
        raise UnreadableInputError(f"{name}: bits stored, allocated and high bit do not fit")
    if layout.high_bit + 1 < layout.stored:
        raise UnreadableInputError(f"{name}: bits stored, allocated and high bit do not fit")
    expected = 1 if layout.photometric in _GRAY else 3
    if layout.photometric not in (*_GRAY, *_COLOUR):
        kind = layout.photometric[:16] if layout.photometric.isascii() else "unknown"
        raise UnreadableInputError(
            f"{name}: colours are coded as {kind}, but gray, RGB and YBR are read",
            hint="CT, PET and MR images and slides are gray, RGB or YBR.",
        )
    if layout.samples != expected:
        raise UnreadableInputError(
            f"{name}: {layout.photometric} with {layout.samples} samples per pixel is not read"
        )
