"""A phantom: its round body and inserts, their edges, uniformity and linearity. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from ratcli.errors import MeasurementError
from ratcli.evaluation.comparison import RESTORED
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.quantitation import Linearity, RegionBias, Uniformity, linearity, uniformity
from ratcli.evaluation.regions import RegionRow
from ratcli.evaluation.views import ComparedView, cleanest, named_images
from ratcli.physics.local_noise import MAD_TO_SD
from ratcli.scan import BoolArray, Box, FloatArray

BODY = "body"
"""Name of the edge of a phantom's body."""
_ROUNDEST_MISFIT = 0.06
_SMALLEST_RADIUS_PX = 3.0
_WALL_MM = 20.0


def phantom_body(plane: npt.NDArray[np.floating]) -> Disc:
    """Find the round body of a phantom: the largest bright object.

    Raises:
        MeasurementError: it is not round within 6 % of its area, or touches the border.
    """
    smooth = ndimage.gaussian_filter(plane.astype(np.float64), 2.0)
    bright = smooth > float(threshold_otsu(smooth))  # type: ignore[no-untyped-call]
    labels, count = ndimage.label(ndimage.binary_opening(bright, iterations=4))
    if count == 0:
        raise MeasurementError("no object is brighter than the rest of the plane")
    largest = 1 + int(np.argmax(ndimage.sum_labels(bright, labels, np.arange(1, count + 1))))
    body = ndimage.binary_fill_holes(labels == largest)
    disc = _fitted_disc(body)
    misfit = float((body ^ disc.mask(body.shape)).sum()) / float(body.sum())
    if misfit > _ROUNDEST_MISFIT:
        raise MeasurementError(
            f"the largest object differs from a disc in {misfit:.0%} of its area, expected "
            f"{_ROUNDEST_MISFIT:.0%} or less"
        )
    return disc


def phantom_inserts(plane: npt.NDArray[np.floating], body: Disc) -> tuple[Disc, ...]:
    """Find round inserts in a phantom's body, by their contrast to its most frequent value.

    Args:
        plane: `(H, W)` in any unit.
        body: as `phantom_body` finds it.
    """
    smooth = ndimage.gaussian_filter(plane.astype(np.float64), 1.5)
    inside = body.mask(plane.shape, margin=8.0)
    middle = float(np.median(smooth[inside]))
    spread = MAD_TO_SD * float(np.median(np.abs(smooth[inside] - middle)))
    found = []
    for sign in (1.0, -1.0):
        contrast = sign * (smooth - middle) * inside
        labels, count = ndimage.label(contrast > max(6.0 * spread, 1e-9))
        for part in range(1, count + 1):
            height = float(np.percentile(contrast[labels == part], 80))
            half, _ = ndimage.label((contrast > height / 2.0) & inside)
            seed = np.unravel_index(np.argmax(contrast * (labels == part)), contrast.shape)
            insert = half == half[seed]
            disc = _fitted_disc(insert)
            misfit = float((insert ^ disc.mask(insert.shape)).sum()) / float(insert.sum())
            if disc.radius >= _SMALLEST_RADIUS_PX and misfit < 0.2:
                found.append(disc)
    return tuple(found)


def _fitted_disc(shape: BoolArray) -> Disc:
    """Return the disc with the centroid and the area of a shape."""
    row, column = ndimage.center_of_mass(shape)
    return Disc(float(row), float(column), math.sqrt(float(shape.sum()) / math.pi))


@dataclass(frozen=True)
class PhantomRow:
    """Figures of a phantom in one image."""

    image: str
    uniformity: Uniformity | None
    linearity: Linearity | None


def phantom_edges(compared: ComparedView) -> dict[str, Disc | Box]:
    """Return the round edges of a phantom: its body and its inserts.

    Raises:
        MeasurementError: the view shows no round body.
    """
    plane = _without_padding(cleanest(compared)[0], compared)
    body = phantom_body(plane)
    inserts = phantom_inserts(plane, body)
    named: dict[str, Disc | Box] = {BODY: body}
    return named | {f"insert {index + 1}": disc for index, disc in enumerate(inserts)}


def phantom_rows(compared: ComparedView, body: Disc, spacing_mm: float) -> tuple[PhantomRow, ...]:
    """Return the uniformity of every image of a view, 20 mm inside the body's outline.

    Raises:
        MeasurementError: the discs do not fit into the body.
    """
    return tuple(
        PhantomRow(name, uniformity(image[0], body, _WALL_MM / spacing_mm), None)
        for name, image in named_images(compared).items()
    )


def inserts_of(edges: Mapping[str, Disc | Box]) -> dict[str, Disc]:
    """Return the inserts among a phantom's round edges."""
    return {name: edge for name, edge in edges.items() if name != BODY and isinstance(edge, Disc)}


def linear_rows(regions: tuple[RegionRow, ...]) -> tuple[PhantomRow, ...]:
    """Fit measured against nominal means, where three or more differ."""
    rows: list[RegionBias] = [row.bias for row in regions if row.against == "nominal"]
    try:
        fit = linearity([row.other_mean for row in rows], [row.mean for row in rows])
    except MeasurementError:
        return ()
    return (PhantomRow(RESTORED, None, fit),)


def _without_padding(plane: FloatArray, compared: ComparedView) -> FloatArray:
    """Return the plane with padding raised to the lowest measured value."""
    return np.where(compared.mask, plane, plane[compared.mask].min()).astype(np.float32)
