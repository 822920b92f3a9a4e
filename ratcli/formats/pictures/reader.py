"""Reading a PNG or a JPEG in 8-bit RGB, upright as its EXIF orientation says."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ratcli.errors import UnreadableInputError
from ratcli.formats.closing import ClosingReader
from ratcli.formats.codestream import parse_jpeg
from ratcli.formats.limits import check_pixels
from ratcli.formats.pictures import PNG_MAGIC
from ratcli.formats.sandbox import run_apart
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo

Pixels = npt.NDArray[np.uint8]

_KINDS = ("PNG", "JPEG")
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED = [_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)]  # rows become columns
_PNG_COLOURS = {0: "gray", 2: "RGB", 3: "palette", 4: "gray with alpha", 6: "RGB with alpha"}
_ADVICE = "Save the picture in 8-bit RGB. CT and PET are read from DICOM, NIfTI or TIFF."
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""What Pillow raises for files that are damaged."""


class PictureReader(ClosingReader):
    """An open picture of one plane; it is decoded when the first pixel is read.

    Args:
        path: the file.
        max_pixels: most pixels to decode.

    Attributes:
        path: the file.
        icc_profile: its ICC profile, or None.
        dpi: pixels for each inch, of columns and of rows; None if it does not say.
        software: the text `Software` of a PNG, in which `rat` records what it did.

    Raises:
        UnreadableInputError: damaged, hostile, or not in 8-bit RGB.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.path = path
        self._data = path.read_bytes()
        kind, colours = _checked_header(path, self._data, max_pixels)
        image, self._turn = _open(path, self._data, max_pixels)
        width, height = image.size
        dpi = image.info.get("dpi")
        if self._turn in _TURNED:
            width, height = height, width
            dpi = dpi[::-1] if dpi else None
        self.icc_profile: bytes | None = image.info.get("icc_profile")
        self.dpi: tuple[float, float] | None = dpi
        self.software = str(image.info.get("Software", ""))
        details = {"kind": kind, "colours": colours}
        if self._turn is not None:
            details["orientation"] = "turned upright, as EXIF says"
        self.info = ScanInfo(
            planes=1, channels=3, height=height, width=width, spacing_mm=(None, None, None),
            modality=None, unit="RGB", bits=8, format="picture", details=details,
        )  # fmt: skip

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read the plane, or a box of it; see `ScanReader.read`."""
        rows, columns = (box or Box(0, 0, self.info.height, self.info.width)).slices
        colours = self.stored[rows, columns, :3].astype(np.float32) / np.float32(255)
        return np.ascontiguousarray(np.moveaxis(colours, -1, 0))

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        """Return `(H, W)`, true where alpha is 0. Alpha that is 0 everywhere is taken as unused."""
        rows, columns = (box or Box(0, 0, self.info.height, self.info.width)).slices
        alpha = self.stored[..., 3:]
        hidden: BoolArray = (alpha[rows, columns] == 0).any(axis=-1)
        return hidden if alpha.any() else np.zeros_like(hidden)

    @cached_property
    def stored(self) -> Pixels:
        """The pixels upright, `(H, W, 3)`, or `(H, W, 4)` with alpha.

        Raises:
            UnreadableInputError: the picture is damaged.
        """
        samples = 4 * self.info.height * self.info.width
        try:
            return run_apart(self.path.name, samples, _decode, self._data, self._turn)
        except ValueError as error:
            raise _damaged(self.path) from error

    def close(self) -> None:
        """Forget the pixels."""
        self.__dict__.pop("stored", None)


def _checked_header(path: Path, data: bytes, max_pixels: int) -> tuple[str, str]:
    """Return the kind of a picture and its colours; refuse it before anything is decoded."""
    try:
        if data.startswith(PNG_MAGIC):
            width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
            kind, colours = "PNG", _PNG_COLOURS[colour]
            is_rgb = colour in (2, 3, 6) and (bits == 8 or colour == 3)
        else:
            header = parse_jpeg(data)
            width, height, bits = header.columns, header.rows, header.bits
            kind, colours = "JPEG", {1: "gray", 3: "RGB", 4: "CMYK"}[header.components]
            is_rgb = colours == "RGB" and bits == 8
    except (KeyError, *_DAMAGE) as error:
        raise _damaged(path) from error
    check_pixels(height, width, max_pixels, path.name)
    if not is_rgb:
        raise UnreadableInputError(
            f"{path.name} is a {kind} in {colours} of {bits} bits, but only 8-bit RGB is read",
            hint=_ADVICE,
        )
    return kind, colours


def _open(path: Path, data: bytes, max_pixels: int) -> tuple[Any, Image.Transpose | None]:
    """Open a picture with Pillow, which reads the header only; return how it is turned upright."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures: the limit is `max_pixels`
            image = Image.open(io.BytesIO(data), formats=_KINDS)
            # Pillow decodes a PNG to look for EXIF behind the pixels.
            has_exif = image.format == "JPEG" or "exif" in image.info
            orientation = image.getexif().get(_ORIENTATION) if has_exif else None
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or max_pixels)
        raise UnreadableInputError(
            f"{path.name} has more than {most} pixels, the most that PNG and JPEG may have",
            hint="Save it as a TIFF, which is read in parts.",
        ) from error
    except _DAMAGE as error:
        raise _damaged(path) from error
    if getattr(image, "n_frames", 1) > 1 and image.format == "PNG":
        raise UnreadableInputError(f"{path.name} is an animation", hint="Save a single picture.")
    return image, _UPRIGHT.get(orientation or 1)


def _decode(data: bytes, turn: Image.Transpose | None) -> Pixels:
    """Return the pixels of a picture, `(H, W, 3)` or `(H, W, 4)`."""
    image: Any = Image.open(io.BytesIO(data), formats=_KINDS)
    is_clear = "A" in image.getbands() or "transparency" in image.info
    image = image if turn is None else image.transpose(turn)
    return np.array(image.convert("RGBA" if is_clear else "RGB"))


def _damaged(path: Path) -> UnreadableInputError:
    return UnreadableInputError(f"{path.name} is damaged: it cannot be decoded as a picture")
