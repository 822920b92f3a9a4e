"""Patches of uniform material, found in a plane. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ratcli.errors import MeasurementError
from ratcli.physics.local_noise import noise_map, typical_noise
from ratcli.scan import BoolArray, Box

RealArray = npt.NDArray[np.float64]

_LOCAL = 9
# Pixels in which the local deviation is this many times the plane's noise hold an edge.
_QUIETEST, _LOUDEST = 0.4, 1.7
_CLEAN_SPREAD = 0.5
_PLACE_SIDES_PX = (32, 24, 16)
_MOST_PLACES = 4


def uniform_patches(
    plane: npt.NDArray[np.floating],
    side: int,
    within: tuple[float, float] | None = None,
    mask: BoolArray | None = None,
    clean: npt.NDArray[np.floating] | None = None,
) -> tuple[Box, ...]:
    """Find square patches over uniform material, which do not overlap.

    A patch has no edge, and its smoothed values vary no more than noise alone explains. Patches
    are taken from the top and not by their noise: choosing the quietest would lower the figure
    that is measured in them.

    Args:
        plane: `(H, W)` in any unit.
        side: of a patch in pixels, at least 12.
        within: only where the local mean lies in this range (soft tissue, for a CT plane).
        mask: `(H, W)`, true where to look.
        clean: the same anatomy with less noise. Its smoothed values must vary by less than half
            of the plane's noise, since in the noisy plane alone structure looks like noise.

    Raises:
        MeasurementError: the plane shows no noise.
        ValueError: the side is below 12.
    """
    if side < 12:
        raise ValueError(f"patches must be 12 pixels a side or more, not {side}")
    values = plane.astype(np.float64)
    noise = typical_noise(values, within, mask)
    mean = ndimage.uniform_filter(values, _LOCAL)
    spreads = [(mean, 2.5 * noise)]
    if clean is not None:
        quiet = ndimage.uniform_filter(clean.astype(np.float64), _LOCAL)
        spreads.append((quiet, _CLEAN_SPREAD * noise))
    good = _without_edges(values, noise)
    if within is not None:
        good &= (mean > within[0]) & (mean < within[1])
    if mask is not None:
        good &= mask
    return tuple(_pack(good, spreads, side))


def uniform_places(
    plane: npt.NDArray[np.floating],
    clean: npt.NDArray[np.floating],
    within: tuple[float, float],
    mask: BoolArray,
    margin: int,
) -> tuple[tuple[int, int], ...]:
    """Return row and column of up to four uniform places, spread over a plane.

    Args:
        plane: `(H, W)` in any unit.
        clean: the same with less noise.
        within: only where the local mean lies in this range.
        mask: `(H, W)`, true where to look.
        margin: pixels between a place and the border of the plane.

    Raises:
        MeasurementError: there is none.
    """
    inner = np.zeros_like(mask)
    inner[margin : mask.shape[0] - margin, margin : mask.shape[1] - margin] = True
    for side in _PLACE_SIDES_PX:
        boxes = uniform_patches(plane, side, within, mask, clean)
        centres = [(box.top + side // 2, box.left + side // 2) for box in boxes]
        centres = [centre for centre in centres if inner[centre]]
        if centres:
            kept = np.linspace(0, len(centres) - 1, min(_MOST_PLACES, len(centres))).round()
            return tuple(centres[int(at)] for at in kept)
    raise MeasurementError(
        f"no uniform place of {_PLACE_SIDES_PX[-1]} pixels was found",
        hint="Give a scan with liver, spleen or muscle in its middle plane.",
    )


def _without_edges(values: RealArray, noise: float) -> BoolArray:
    """Return `(H, W)`, true where the local standard deviation is that of noise alone."""
    local = noise_map(values, _LOCAL)
    good: BoolArray = (local > _QUIETEST * noise) & (local < _LOUDEST * noise)
    return good


def _pack(good: BoolArray, spreads: Sequence[tuple[RealArray, float]], side: int) -> list[Box]:
    """Return boxes of good pixels, from the top, none overlapping.

    Args:
        good: `(H, W)`, true where a patch may lie.
        spreads: smoothed values `(H, W)`, and how much they may spread over a patch.
        side: of a patch.
    """
    rows, columns = (size - side + 1 for size in good.shape)
    if rows < 1 or columns < 1:
        return []
    # Filters look around a pixel; the box's first pixel is half a side before it.
    half = side // 2
    where = (slice(half, half + rows), slice(half, half + columns))
    free = ndimage.minimum_filter(good, side)[where]
    for mean, most in spreads:
        span = ndimage.maximum_filter(mean, side) - ndimage.minimum_filter(mean, side)
        free = free & (span[where] < most)
    boxes: list[Box] = []
    for top in range(rows):
        while free[top].any():
            left = int(np.argmax(free[top]))
            boxes.append(Box(top, left, side, side))
            free[top : top + side, max(left - side + 1, 0) : left + side] = False
    return boxes
