"""Layers of a picture: values of a plane as JPEG in 256 levels, or as PNG in 16 bits.

The levels are fine in soft tissue and coarse in air and bone, so that the window can be moved in
the browser. No figure of the report is measured in these pictures.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import imagecodecs
import numpy as np
import numpy.typing as npt
from skimage.transform import resize

from ratcli.evaluation.report.scales import RealArray, Scale

_MOST_LEVEL = 65535


@dataclass(frozen=True)
class Layer:
    """A picture of one plane.

    Attributes:
        name: as shown in the menu.
        kind: `gray` (window applies), `signed`, `heat`, or `colour`.
        uri: data URI of the picture.
        scale: name of its scale in the page's table, empty for `colour`.
        first: value of level 0 of a picture in 16 bits.
        step: value between two of its levels; 0 for a picture in 256 levels.
    """

    name: str
    kind: str
    uri: str
    scale: str
    first: float = 0.0
    step: float = 0.0


@dataclass(frozen=True)
class Fineness:
    """How fine pictures are.

    Attributes:
        longest_px: longest side of a picture.
        quality: of the JPEG.
        exact: write images of one channel as PNG in 16 bits, in the pixels of the scan.
    """

    longest_px: int
    quality: int
    exact: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of the picture of a plane."""
        shrink = 1.0 if self.exact else min(self.longest_px / max(height, width), 1.0)
        return max(round(height * shrink), 1), max(round(width * shrink), 1)


def image_layer(name: str, image: npt.NDArray[np.floating], scale: Scale, fine: Fineness) -> Layer:
    """Return the picture of an image `(C, H, W)`, gray or in colour."""
    size = fine.size(*image.shape[1:])
    if image.shape[0] == 3:
        colour = np.stack([resized(channel, size) for channel in image], axis=-1)
        levels = np.rint(np.clip(colour, 0.0, 1.0) * 255.0).astype(np.uint8)
        return Layer(name, "colour", _jpeg(levels, fine.quality), "")
    if fine.exact:
        return _exact_layer(name, image[0].astype(np.float64))
    uri = _jpeg(scale.encode(resized(image[0], size)), fine.quality)
    return Layer(name, "gray", uri, "image")


def map_layer(
    name: str, kind: str, plane: npt.NDArray[np.floating], scale: Scale, fine: Fineness
) -> Layer:
    """Return the picture of a map `(H, W)`: `signed`, or `heat` at half the size."""
    height, width = fine.size(*plane.shape)
    size = (max(height // 2, 1), max(width // 2, 1)) if kind == "heat" else (height, width)
    return Layer(name, kind, _jpeg(scale.encode(resized(plane, size)), fine.quality), name)


def resized(plane: npt.NDArray[np.floating], size: tuple[int, int]) -> RealArray:
    """Return `(H, W)` of a size, area averaged where it shrinks."""
    if plane.shape == size:
        return plane.astype(np.float64)
    result: RealArray = resize(  # type: ignore[no-untyped-call]
        plane.astype(np.float64), size, order=1, anti_aliasing=True, preserve_range=True
    )
    return result


def png_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """Return `(H, W, C)` as the data URI of a PNG."""
    return _uri("png", bytes(imagecodecs.png_encode(pixels, level=9)))


def _exact_layer(name: str, plane: RealArray) -> Layer:
    """Return `(H, W)` in 16 bits: the high byte in red, the low one in green.

    Browsers read a PNG of 16 bits in 8 bits only. Whole numbers stay as they are.
    """
    first, span = float(plane.min()), float(np.ptp(plane))
    whole = span <= _MOST_LEVEL and bool((plane == np.rint(plane)).all())
    step = 1.0 if whole or span == 0.0 else span / _MOST_LEVEL
    levels = np.rint((plane - first) / step).astype(np.uint16)
    pixels = np.stack([levels >> 8, levels & 255, np.zeros_like(levels)], axis=-1)
    return Layer(name, "gray", png_uri(pixels.astype(np.uint8)), "image", first, step)


def _jpeg(levels: npt.NDArray[np.uint8], quality: int) -> str:
    return _uri("jpeg", bytes(imagecodecs.jpeg8_encode(levels, level=quality)))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
