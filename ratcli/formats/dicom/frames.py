"""The frames of one file, decoded one at a time."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.uid import RLELossless

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.codec import (
    Frame,
    codestream_header,
    decode,
    decode_native,
    is_readable,
)
from ratcli.formats.dicom.files import DicomFile, PixelElement, guarded
from ratcli.formats.dicom.fragments import FrameIndex, index_frames, is_codestream_ended
from ratcli.formats.dicom.layout import PixelLayout, lacks_frame_count, read_layout
from ratcli.formats.dicom.precision import precision_notice
from ratcli.formats.quick_look import check_look
from ratcli.formats.sandbox import run_apart

_CODESTREAM_START = 1 << 14
"""Bytes of a codestream in which its header is looked for."""

_MOST_FRAMES = 1 << 15
_MOST_TILES = 1 << 20


class FrameFile:
    """A DICOM image: its header and, on demand, its frames.

    Args:
        file: the file, its header read.
        max_pixels: most pixels to decode at once.

    Attributes:
        notices: what is odd about the pixel data, one sentence each.

    Raises:
        UnreadableInputError: no image, not supported, or shorter than declared.
    """

    def __init__(self, file: DicomFile, max_pixels: int) -> None:
        self.file = file
        self.repeat = 0
        self.pixels = _require_pixels(file)
        with guarded(file.path, "the header"):
            self.layout: PixelLayout = read_layout(file.dataset, file.path.name, max_pixels)
        self._index: FrameIndex | None = None
        self._check_length()
        self.notices = tuple(filter(None, (self._frames_notice(), self._precision_notice())))

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.file.path

    def frame(self, number: int) -> Frame:
        """Decode a frame.

        Args:
            number: from 0.

        Raises:
            UnreadableInputError: the pixel data are damaged.
        """
        with guarded(self.path, "the pixel data"):
            return self._decode(number)

    @property
    def end(self) -> int:
        """First byte behind the pixel data."""
        if self.pixels.encapsulated:
            return self._frame_index().end
        return self.pixels.offset + self.pixels.length

    def _decode(self, number: int) -> Frame:
        layout = self.layout
        samples = layout.rows * layout.columns * layout.samples
        check_look(samples=samples)
        with self.file.open() as stream:
            if not self.pixels.encapsulated:
                data = self._read_native(stream, number)
                little = self.file.syntax.is_little_endian
                return decode_native(data, layout, little_endian=little)
            fragments = bytearray()
            for fragment in self._frame_index().frames[number]:
                stream.seek(fragment.offset)
                fragments += stream.read(fragment.length)
        what = f"{self.path.name}: the pixel data"
        return run_apart(what, samples, decode, bytes(fragments), self.file.syntax, layout)

    def _read_native(self, stream: BinaryIO, number: int) -> bytes:
        size, start = self.layout.frame_bytes, number * self.layout.frame_bytes
        swapped = self.pixels.words and not self.file.syntax.is_little_endian
        if self.layout.allocated == 16 or not swapped:
            stream.seek(self.pixels.offset + start)
            return stream.read(size)
        # Bytes in big-endian words: two neighbours have changed places.
        lead = start % 2
        stream.seek(self.pixels.offset + start - lead)
        pairs = np.frombuffer(stream.read((lead + size + 1) // 2 * 2), ">u2").astype("<u2")
        return pairs.tobytes()[lead : lead + size]

    def _frame_index(self) -> FrameIndex:
        if self._index is None:
            with guarded(self.path, "the pixel data"), self.file.open() as stream:
                self._index = index_frames(stream, self.pixels, self.layout.frames, self.path.name)
        return self._index

    def _check_length(self) -> None:
        """Refuse too many frames, and pixel data that are shorter than declared."""
        name, frames = self.path.name, self.layout.frames
        is_slide = "TotalPixelMatrixColumns" in self.file.dataset
        most = _MOST_TILES if is_slide else _MOST_FRAMES
        if frames > most:
            raise UnreadableInputError(
                f"{name}: the header declares {frames} frames, but at most {most} are read"
            )
        if self.pixels.encapsulated:
            self._check_codestream()
            return
        with guarded(self.path, "the pixel data"), self.file.open() as stream:
            available = stream.seek(0, 2) - self.pixels.offset
        found = min(self.pixels.length, available)
        needed = self.layout.frame_bytes * frames
        if found < needed:
            raise UnreadableInputError(
                f"{name}: the pixel data end early: {found} bytes, but the header declares {needed}"
            )

    def _check_codestream(self) -> None:
        """Refuse a single frame that is cut off; run lengths have no end marker to check."""
        frames = self._frame_index().frames
        if len(frames) > 1 or self.file.syntax == RLELossless:
            return
        with guarded(self.path, "the pixel data"), self.file.open() as stream:
            ended = is_codestream_ended(stream, frames[0])
        if not ended:
            raise UnreadableInputError(f"{self.path.name}: the compressed pixel data end early")

    def _frames_notice(self) -> str:
        """Return a notice if an empty NumberOfFrames counts as 1; refuse it for several frames."""
        if not lacks_frame_count(self.file.dataset):
            return ""
        if not self.pixels.encapsulated and self.pixels.length >= 2 * self.layout.frame_bytes:
            raise UnreadableInputError(f"{self.path.name}: the header has no valid NumberOfFrames")
        return "NumberOfFrames is empty or 0; the image is read as one frame"

    def _precision_notice(self) -> str:
        if not self.pixels.encapsulated:
            return ""
        first = self._frame_index().frames[0][0]
        with guarded(self.path, "the pixel data"), self.file.open() as stream:
            stream.seek(first.offset)
            start = stream.read(min(first.length, _CODESTREAM_START))
        # Decoding the frame tells what is wrong with a header that cannot be parsed.
        with contextlib.suppress(ValueError, struct.error, IndexError):
            found = codestream_header(start, self.file.syntax)
            return "" if found is None else precision_notice(found, self.layout)
        return ""


def frame_bytes(frame: Frame) -> int:
    """Return the bytes that a decoded frame takes."""
    return frame.words.nbytes


def to_rgb(frame: Frame, layout: PixelLayout) -> npt.NDArray[np.float32]:
    """Return a colour frame as RGB from 0 to 1.

    Args:
        frame: RGB or full-range YBR.
        layout: of the frame.

    Returns:
        float32 `(3, H, W)`.

    Source: PS3.3, C.7.6.3.1.2 (YBR_FULL).
    """
    top = float((1 << layout.stored) - 1)
    samples = layout.unpack(frame.words).astype(np.float32)
    if frame.photometric.startswith("YBR"):
        centre = np.float32(1 << (layout.stored - 1))
        y, cb, cr = samples[..., 0], samples[..., 1] - centre, samples[..., 2] - centre
        samples = np.stack(
            [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=2
        )
        samples = np.clip(np.rint(samples), 0, top)
    return np.ascontiguousarray(samples.transpose(2, 0, 1) / np.float32(top), dtype=np.float32)


def _require_pixels(file: DicomFile) -> PixelElement:
    name = file.path.name
    if file.pixels is None:
        raise UnreadableInputError(f"{name} is a DICOM file without an image: no pixel data")
    if file.pixels.floating:
        raise UnreadableInputError(
            f"{name}: pixel data are floating point, but integers are read",
            hint="CT, PET and MR images and slides store integers.",
        )
    if not is_readable(file.syntax):
        raise UnreadableInputError(
            f"{name}: the transfer syntax {file.syntax.name[:64]} is not read",
            hint="Convert it to Explicit VR Little Endian, with dcmconv or dcmdjpeg.",
        )
    if file.syntax.is_compressed != file.pixels.encapsulated:
        raise UnreadableInputError(f"{name}: transfer syntax and pixel data contradict each other")
    return file.pixels
