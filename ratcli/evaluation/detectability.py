"""Detectability of discs: from images with and without them, or from noise and resolution.

No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.errors import MeasurementError
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.noise import NoiseRow
from ratcli.evaluation.npwe import npwe
from ratcli.evaluation.observers import (
    Detectability,
    channel_outputs,
    difference_of_gaussians,
    hotelling,
    laguerre_gauss,
)
from ratcli.evaluation.resolution import TransferRow
from ratcli.scan import FloatArray

RealArray = npt.NDArray[np.float64]

LAGUERRE_GAUSS, DENSE_DOG = "CHO LG", "CHO DOG"
EYE = "NPWE"

USUAL_DIAMETERS_MM = (3.0, 5.0, 7.0, 10.0)
USUAL_CONTRAST_HU = 10.0


@dataclass(frozen=True)
class DetectabilityRow:
    """How well one observer detects one disc in one image.

    Attributes:
        image: its name.
        signal: name of the disc.
        diameter_mm: of the disc.
        contrast: of the disc in the image, in the scan's unit.
        observer: which.
        found: d' with its interval.
        dose: simulated dose, as a fraction of that of the scan; nan if none was simulated.
    """

    image: str
    signal: str
    diameter_mm: float
    contrast: float
    observer: str
    found: Detectability
    dose: float = math.nan


def patch_side(diameter_px: float) -> int:
    """Return the side of the patch in which an observer looks at a disc: odd, in pixels."""
    return 2 * math.ceil(2.2 * diameter_px) + 1


def channels_of(
    observer: str, diameter_px: float, centre: tuple[float, float] = (0.0, 0.0)
) -> RealArray:
    """Return the channels `(K, side, side)` of an observer for a disc.

    Args:
        observer: `LAGUERRE_GAUSS` or `DENSE_DOG`.
        diameter_px: of the disc.
        centre: row and column of the disc, from the middle of the patch.
    """
    side = patch_side(diameter_px)
    if observer == DENSE_DOG:
        return difference_of_gaussians(side, centre)
    return laguerre_gauss(side, diameter_px, centre=centre)


def disc_rows(
    image: str,
    present: FloatArray,
    absent: FloatArray,
    discs: Mapping[str, Disc],
    spacing_mm: float,
    internal_noise: float = 0.0,
) -> tuple[DetectabilityRow, ...]:
    """Return what two channelised Hotelling observers detect of discs in a phantom.

    The covariance is pooled over the places of all discs, which should lie in like noise.

    Args:
        image: name of the images.
        present: with the discs, `(N, H, W)`.
        absent: without them, `(M, H, W)`, of independent noise.
        discs: by name, in pixels.
        spacing_mm: pixel pitch.
        internal_noise: variance that the observer adds, as a share of the image's.

    Raises:
        MeasurementError: too few images, no noise, or a disc too near the border.
    """
    rows = []
    for index, (name, disc) in enumerate(discs.items()):
        inside = disc.mask(present.shape[1:])
        contrast = float(present[:, inside].mean() - absent[:, inside].mean())
        for observer in (LAGUERRE_GAUSS, DENSE_DOG):
            seen = [
                _outputs(images, discs.values(), 2 * disc.radius, observer)
                for images in (present, absent)
            ]
            found = hotelling(seen[0], seen[1], places=[index])
            row = DetectabilityRow(
                image, name, 2 * disc.radius * spacing_mm, contrast, observer,
                found.with_internal_noise(internal_noise),
            )  # fmt: skip
            rows.append(row)
    return tuple(rows)


def eye_rows(
    noise: Sequence[NoiseRow], transfers: Sequence[TransferRow]
) -> tuple[DetectabilityRow, ...]:
    """Return d' of the observer of the eye for usual discs in CT, where both curves are known.

    Of several edges, that with the least contrast counts: denoisers blur faint edges most.
    """
    rows = []
    for row in noise:
        edges = [each.transfer for each in transfers if each.image == row.image]
        if row.trusted is None or not edges:
            continue
        faint = min(edges, key=lambda transfer: abs(transfer.contrast))
        for diameter in USUAL_DIAMETERS_MM:
            d_prime = npwe(row.trusted, faint, diameter, USUAL_CONTRAST_HU)
            found = Detectability(d_prime, math.nan, math.nan, row.trusted.patches)
            name = f"disc of {diameter:g} mm"
            rows.append(DetectabilityRow(row.image, name, diameter, USUAL_CONTRAST_HU, EYE, found))
    return tuple(rows)


def _outputs(
    images: FloatArray, discs: Collection[Disc], diameter_px: float, observer: str
) -> RealArray:
    """Return outputs `(N, Q, K)` at the places of all discs."""
    side = patch_side(diameter_px)
    places = []
    for disc in discs:
        top, left = (round(place) - side // 2 for place in (disc.row, disc.column))
        if min(top, left) < 0 or top + side > images.shape[1] or left + side > images.shape[2]:
            raise MeasurementError(
                f"the disc at row {disc.row:g}, column {disc.column:g} lies less than "
                f"{side // 2} pixels from the border"
            )
        offset = (disc.row - round(disc.row), disc.column - round(disc.column))
        patches = images[:, top : top + side, left : left + side]
        places.append(channel_outputs(patches, channels_of(observer, diameter_px, offset)))
    return np.stack(places, axis=1)
