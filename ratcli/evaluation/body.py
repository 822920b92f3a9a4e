"""The body in a plane, a phantom's outline, and its inserts. No torch here."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from ratcli.errors import MeasurementError
from ratcli.evaluation.given_regions import Disc
from ratcli.physics.local_noise import MAD_TO_SD
from ratcli.scan import BoolArray

BODY = "body"
"""Name of the edge of a phantom's body."""
_ROUNDEST_MISFIT = 0.06
_SMALLEST_RADIUS_PX = 3.0


def body_mask(plane: npt.NDArray[np.floating], above: float) -> BoolArray:
    """Return `(H, W)`: the largest object above a value, with the cavities inside it.

    Args:
        plane: `(H, W)` in any unit.
        above: in that unit; lower is air.

    Returns:
        False everywhere if there is no such object.
    """
    dense = ndimage.binary_opening(plane > above, iterations=2)
    labels, count = ndimage.label(dense)
    if count == 0:
        return np.zeros(plane.shape, np.bool_)
    sizes = np.bincount(labels.ravel())[1:]
    body: BoolArray = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes)))
    return body


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
