"""Pictures for the report: planes, a coronal one and a projection, that the page can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.transform import resize

from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.report.layers import (
    Fineness,
    Layer,
    image_layer,
    map_layer,
    png_uri,
)
from ratcli.evaluation.report.scales import Scale, maps_of, scales_of
from ratcli.evaluation.results import AXIAL, Sample
from ratcli.scan import BoolArray, Box

_BYTES_PER_PLANE, _FEWEST_PLANES = 215_000, 20
_COLOUR_BYTES = 10_500_000
_FULL_PX = 4096
_STEPS = ((640, 85), (512, 82), (448, 75), (384, 72), (320, 68), (256, 60), (192, 50))
_SHOWN = (INPUT, "bicubic", RESTORED, REFERENCE)
_MARGIN_PX = 12
_INVERTED = ("SUV", "Bq/ml")


@dataclass(frozen=True)
class Slide:
    """All pictures of one plane.

    Attributes:
        plane: which, from 0.
        view: direction in which it is seen.
        layers: its pictures.
        aspect: width over height of every picture, in mm where the spacing is known.
        box: part of the plane that the pictures show.
        outlines: data URI of a PNG with the regions' borders, or empty.
        places: suspicious ones: x and y as shares of the picture, and a sentence.
        patches: in which noise is measured: x, y, width and height as shares of the picture.
        regions: middle of each region by its label, as shares of the picture.
    """

    plane: int
    view: str
    layers: tuple[Layer, ...]
    aspect: float
    box: Box
    outlines: str = ""
    places: tuple[tuple[float, float, str], ...] = ()
    patches: tuple[tuple[float, ...], ...] = ()
    regions: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What the pictures show."""
        return f"Plane {self.plane + 1}" if self.view == AXIAL else self.view.capitalize()

    def find(self, label: int | None, row: int, column: int) -> tuple[float, float] | None:
        """Return a region, or without a label a pixel, as shares of the picture; None if absent."""
        if label is not None:
            return self.regions.get(label)
        x, y = _share(self.box, row, column)
        return (x, y) if 0.0 <= x <= 1.0 and 0.0 <= y <= 1.0 else None


@dataclass(frozen=True)
class Gallery:
    """All pictures of a report.

    Attributes:
        slides: one for each plane shown.
        scales: values of levels by name, with their units.
        fineness: of the pictures.
        inverted: whether the highest value is black, as usual in PET.
    """

    slides: tuple[Slide, ...]
    scales: Mapping[str, Scale]
    fineness: Fineness
    inverted: bool


def make_gallery(
    samples: Sequence[Sample],
    unit: str | None,
    spacing_mm: tuple[float | None, float | None, float | None],
    budget: int | None = None,
    *,
    exact: bool = False,
) -> Gallery | None:
    """Make pictures of samples, as large and as fine as fits into a budget of bytes.

    Slides in colour keep all pixels: fewer of them are shown if not all fit.

    Args:
        samples: planes to show.
        unit: of their values.
        spacing_mm: between planes, rows and columns.
        budget: bytes for all of them, as encoded in the page; None for the usual one.
        exact: show images of one channel in 16 bits whatever their size.
    """
    if not samples:
        return None
    boxes = {view: _body_box(same, unit) for view, same in _by_view(samples).items()}
    scales = scales_of(samples, unit or "")
    sheet = _Sheet(boxes, scales, spacing_mm)
    if samples[0].images[RESTORED].shape[0] == 3:
        steps = ((_FULL_PX, 88), (_FULL_PX, 80), *_STEPS)
        slides, fine = sheet.in_colour(samples, budget or _COLOUR_BYTES, steps)
    else:
        usual = _BYTES_PER_PLANE * max(len(samples), _FEWEST_PLANES)
        slides, fine = sheet.fitting(samples, budget or usual, exact)
    return Gallery(slides, scales, fine, unit in _INVERTED)


@dataclass(frozen=True)
class _Sheet:
    """What all pictures of a report share."""

    boxes: Mapping[str, Box]
    scales: Mapping[str, Scale]
    spacing_mm: tuple[float | None, float | None, float | None]

    def fitting(
        self, samples: Sequence[Sample], budget: int, exact: bool
    ) -> tuple[tuple[Slide, ...], Fineness]:
        """Return slides of all samples, small enough for a budget unless they are exact."""
        for longest, quality in _STEPS:
            fine = Fineness(longest, quality, exact)
            slides = tuple(self.slide(sample, fine) for sample in samples)
            if exact or sum(map(_bytes, slides)) <= budget:
                break
        return slides, fine

    def in_colour(
        self, samples: Sequence[Sample], budget: int, steps: Sequence[tuple[int, int]]
    ) -> tuple[tuple[Slide, ...], Fineness]:
        """Return as many slides of all pixels as a budget holds, one at least."""
        for longest, quality in steps:
            fine = Fineness(longest, quality)
            first = self.slide(samples[0], fine)
            if _bytes(first) <= budget:
                break
        most = max(min(budget // max(_bytes(first), 1), len(samples)), 1)
        chosen = np.linspace(0, len(samples) - 1, most).round().astype(int)[1:]
        slides, left = [first], budget - _bytes(first)
        for index in chosen:
            slide = self.slide(samples[index], fine)
            left -= _bytes(slide)
            if left < 0:
                break
            slides.append(slide)
        return tuple(slides), fine

    def slide(self, sample: Sample, fine: Fineness) -> Slide:
        """Return the pictures of one plane, cut to the box."""
        box = self.boxes[sample.view]
        rows, columns = box.slices
        layers = [
            image_layer(name, sample.images[name][:, rows, columns], self.scales["image"], fine)
            for name in _SHOWN
            if name in sample.images
        ]
        for name, kind, plane in maps_of(sample):
            layers.append(map_layer(name, kind, plane[rows, columns], self.scales[name], fine))
        labels = sample.labels[rows, columns]
        return Slide(
            sample.plane,
            sample.view,
            tuple(layers),
            self._aspect(sample.view, box),
            box,
            _outlines(labels, fine.size(box.height, box.width)),
            tuple(
                (*_share(box, place.row, place.column), str(place)) for place in sample.places
            ),
            tuple(
                (*_share(box, patch.top - 0.5, patch.left - 0.5),
                 patch.width / box.width, patch.height / box.height)
                for patch in sample.patches
            ),
            _middles(labels),
        )  # fmt: skip

    def _aspect(self, view: str, box: Box) -> float:
        between, rows, columns = self.spacing_mm
        down = rows if view == AXIAL else between
        return box.width * (columns / down if down and columns else 1.0) / box.height


def _bytes(slide: Slide) -> int:
    return len(slide.outlines) + sum(len(layer.uri) for layer in slide.layers)


def _by_view(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.view, []).append(sample)
    return found


def _share(box: Box, row: float, column: float) -> tuple[float, float]:
    """Return the middle of a pixel as shares of a box: x and y."""
    return (column - box.left + 0.5) / box.width, (row - box.top + 0.5) / box.height


def _middles(labels: npt.NDArray[np.int32]) -> dict[int, tuple[float, float]]:
    """Return for each region the pixel that lies deepest in it, as shares: x and y."""
    height, width = labels.shape
    middles = {}
    for label, box in enumerate(ndimage.find_objects(labels + 1)):
        if box is not None:
            depth = ndimage.distance_transform_edt(np.pad(labels[box] == label, 1))
            row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
            x, y = box[1].start + int(column) - 0.5, box[0].start + int(row) - 0.5
            middles[label] = (x / width, y / height)
    return middles


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
    return png_uri(colour)
