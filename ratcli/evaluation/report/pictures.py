"""Pictures for the report: planes as small JPEG data that the page can show at any window.

A plane's values are put into 256 levels that are fine in soft tissue and coarse in air and bone,
so that the window can be moved in the browser. No figure is measured in these pictures.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import imagecodecs
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.transform import resize

from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.results import Sample
from ratcli.scan import BoolArray, Box

RealArray = npt.NDArray[np.float64]

BUDGET_BYTES = 4_300_000
_STEPS = ((640, 85), (512, 82), (448, 75), (384, 72), (320, 68), (256, 60), (192, 50))
_SHOWN = (INPUT, "bicubic", RESTORED, REFERENCE)
_MARGIN_PX = 12


@dataclass(frozen=True)
class Scale:
    """Which value each gray level from 0 to 255 means.

    Attributes:
        values: `(256,)` the value of each level, rising.
        unit: of them.
    """

    values: RealArray
    unit: str

    def encode(self, plane: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        """Return the nearest level of each pixel."""
        middles = (self.values[1:] + self.values[:-1]) / 2.0
        return np.searchsorted(middles, plane).astype(np.uint8)


@dataclass(frozen=True)
class Layer:
    """A picture of one plane.

    Attributes:
        name: as shown in the menu.
        kind: `gray` (window applies), `signed`, `heat`, or `colour`.
        uri: data URI of the JPEG.
        scale: name of its scale in the page's table, empty for `colour`.
    """

    name: str
    kind: str
    uri: str
    scale: str


@dataclass(frozen=True)
class Slide:
    """All pictures of one plane.

    Attributes:
        plane: which, from 0.
        layers: its pictures.
        outlines: data URI of a PNG with the regions' borders, or empty.
        places: suspicious ones: x and y as shares of the picture, and a sentence.
    """

    plane: int
    layers: tuple[Layer, ...]
    outlines: str
    places: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Gallery:
    """All pictures of a report.

    Attributes:
        slides: one for each plane shown.
        scales: values of levels by name.
        units: of the scales.
        aspect: width over height of every picture, in mm where the spacing is known.
        quality: of the JPEG.
        longest_px: longest side of a picture.
    """

    slides: tuple[Slide, ...]
    scales: Mapping[str, Scale]
    aspect: float
    quality: int
    longest_px: int


def make_gallery(
    samples: Sequence[Sample],
    unit: str | None,
    spacing_mm: tuple[float | None, float | None, float | None],
    budget: int = BUDGET_BYTES,
) -> Gallery | None:
    """Make pictures of samples, as large and as fine as fits into a budget of bytes.

    Args:
        samples: planes to show.
        unit: of their values.
        spacing_mm: between planes, rows and columns.
        budget: bytes for all of them, as encoded in the page.
    """
    if not samples:
        return None
    box = _body_box(samples, unit)
    scales = _scales(samples, unit or "")
    for longest, quality in _STEPS:
        slides = tuple(_slide(sample, box, scales, longest, quality) for sample in samples)
        size = sum(len(layer.uri) for slide in slides for layer in slide.layers)
        size += sum(len(slide.outlines) for slide in slides)
        if size <= budget:
            break
    _, rows, columns = spacing_mm
    ratio = columns / rows if rows and columns else 1.0
    return Gallery(slides, scales, box.width * ratio / box.height, quality, longest)


def _slide(
    sample: Sample, box: Box, scales: Mapping[str, Scale], longest: int, quality: int
) -> Slide:
    """Return the pictures of one plane, cut to the box."""
    shrink = min(longest / max(box.height, box.width), 1.0)
    size = (max(round(box.height * shrink), 1), max(round(box.width * shrink), 1))
    layers = []
    for name in _SHOWN:
        if name in sample.images:
            layers.append(_image_layer(name, sample, box, scales, (size, quality)))
    for name, kind, plane in _maps(sample):
        half = (max(size[0] // 2, 1), max(size[1] // 2, 1)) if kind == "heat" else size
        small = _resized(plane[box.slices], half)
        uri = _jpeg(scales[name].encode(small), quality)
        layers.append(Layer(name, kind, uri, name))
    places = tuple(
        (
            (place.column - box.left + 0.5) / box.width,
            (place.row - box.top + 0.5) / box.height,
            f"{place.kind} {place.change}, {abs(place.z):.1f} SD",
        )
        for place in sample.places
    )
    return Slide(sample.plane, tuple(layers), _outlines(sample.labels[box.slices], size), places)


def _image_layer(
    name: str,
    sample: Sample,
    box: Box,
    scales: Mapping[str, Scale],
    how: tuple[tuple[int, int], int],
) -> Layer:
    rows, columns = box.slices
    image = sample.images[name][:, rows, columns]
    size, quality = how
    if image.shape[0] == 3:
        colour = np.stack([_resized(channel, size) for channel in image], axis=-1)
        levels = np.rint(np.clip(colour, 0.0, 1.0) * 255.0).astype(np.uint8)
        return Layer(name, "colour", _jpeg(levels, max(quality, 85)), "")
    return Layer(name, "gray", _jpeg(scales["image"].encode(_resized(image[0], size)), quality),
                 "image")  # fmt: skip


def _maps(sample: Sample) -> list[tuple[str, str, RealArray]]:
    """Return name, kind and values of the maps that a sample has."""
    maps: list[tuple[str, str, RealArray]] = []
    images = sample.images
    for name, other in (("residual", INPUT), ("error", REFERENCE)):
        if other in images and images[RESTORED].shape[0] == 1:
            sign = 1.0 if name == "residual" else -1.0
            difference = sign * (images[other][0].astype(np.float64) - images[RESTORED][0])
            maps.append((name, "signed", np.where(sample.mask, difference, 0.0)))
    for name, plane in (
        ("noise map", sample.noise_map),
        ("suspicion", sample.z_map),
        ("uncertainty", sample.uncertainty),
    ):
        if plane is not None:
            maps.append((name, "heat", plane.astype(np.float64)))
    return maps


def _scales(samples: Sequence[Sample], unit: str) -> dict[str, Scale]:
    """Return the scale of the images, and one for each map, the same for all planes."""
    scales = {"image": _image_scale(samples, unit)}
    spans: dict[str, tuple[str, float]] = {}
    for sample in samples:
        for name, kind, plane in _maps(sample):
            high = float(np.percentile(np.abs(plane[sample.mask]), 99.0))
            spans[name] = (kind, max(high, spans.get(name, (kind, 1e-6))[1]))
    for name, (kind, high) in spans.items():
        top = 8.0 if name == "suspicion" else _round_up(1.3 * high)
        low = -top if kind == "signed" else 0.0
        own = "SD" if name == "suspicion" else unit
        scales[name] = Scale(np.linspace(low, top, 256), own)
    return scales


def _image_scale(samples: Sequence[Sample], unit: str) -> Scale:
    """Return levels that are 2 to 4 HU apart in soft tissue, or as fine near 0 in uptake."""
    if unit == "HU":
        low, high = (math.asinh((value - 40.0) / 150.0) for value in (-1100.0, 3100.0))
        return Scale(40.0 + 150.0 * np.sinh(np.linspace(low, high, 256)), unit)
    if unit == "RGB":
        return Scale(np.linspace(0.0, 1.0, 256), unit)
    values = [
        np.percentile(image[:, sample.mask], (0.0, 99.99))
        for sample in samples
        for image in sample.images.values()
    ]
    least = min((float(pair[0]) for pair in values), default=0.0)
    most = max((float(pair[1]) for pair in values), default=1.0)
    share = np.linspace(0.0, 1.0, 256)
    return Scale(least + max(most - least, 1e-6) * share**1.6, unit)


def _body_box(samples: Sequence[Sample], unit: str | None) -> Box:
    """Return the box around what is not air or background in any sample, with a margin."""
    height, width = samples[0].mask.shape
    body: BoolArray = np.zeros((height, width), np.bool_)
    for sample in samples:
        plane = sample.images[RESTORED]
        if plane.shape[0] == 3:
            return Box(0, 0, height, width)
        inside = plane[0][sample.mask]
        edge = -600.0 if unit == "HU" else 0.05 * float(np.percentile(inside, 99.9))
        body |= (plane[0] > edge) & sample.mask
    rows, columns = np.nonzero(body)
    if rows.size == 0:
        return Box(0, 0, height, width)
    top, left = max(int(rows.min()) - _MARGIN_PX, 0), max(int(columns.min()) - _MARGIN_PX, 0)
    bottom = min(int(rows.max()) + _MARGIN_PX + 1, height)
    right = min(int(columns.max()) + _MARGIN_PX + 1, width)
    return Box(top, left, bottom - top, right - left)


def _outlines(labels: npt.NDArray[np.int32], size: tuple[int, int]) -> str:
    """Return a PNG, clear but for the pixels where a region ends; empty without regions."""
    if (labels < 0).all():
        return ""
    # Automatic regions are drawn without their borders: close the gaps, or each line is doubled.
    distance, nearest = ndimage.distance_transform_edt(labels < 0, return_indices=True)
    closed = np.where(distance <= 2.5, labels[tuple(nearest)], -1)
    small: npt.NDArray[np.int32] = resize(  # type: ignore[no-untyped-call]
        closed.astype(np.float64), size, order=0, anti_aliasing=False, preserve_range=True
    ).astype(np.int32)
    border = np.zeros(size, np.bool_)
    border[:, 1:] |= np.diff(small, axis=1) != 0
    border[1:] |= np.diff(small, axis=0) != 0
    colour = np.zeros((*size, 4), np.uint8)
    colour[border] = (255, 196, 0, 200)
    return _uri("png", bytes(imagecodecs.png_encode(colour, level=9)))


def _resized(plane: npt.NDArray[np.floating], size: tuple[int, int]) -> RealArray:
    """Return `(H, W)` of a size, area averaged where it shrinks."""
    if plane.shape == size:
        return plane.astype(np.float64)
    result: RealArray = resize(  # type: ignore[no-untyped-call]
        plane.astype(np.float64), size, order=1, anti_aliasing=True, preserve_range=True
    )
    return result


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= value)


def _jpeg(levels: npt.NDArray[np.uint8], quality: int) -> str:
    return _uri("jpeg", bytes(imagecodecs.jpeg8_encode(levels, level=quality)))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
