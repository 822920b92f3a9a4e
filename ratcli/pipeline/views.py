"""The eight views of a plane: four quarter turns, each plain and mirrored.

A network that is not exactly symmetric errs differently in each. Their mean errs less, and their
spread tells where it errs. Eight views tell a pixel's variance within a factor of two only, so it
is averaged over neighbours. On held-out CT the true error is then 4 to 9 times the spread, more
where that is low: a factor, and a floor or a share of the value, are left, which are those of the
weights (benchmarks/calibration.py).

Source: Timofte et al., Seven ways to improve example-based single image super resolution,
CVPR 2016, section 3.7 (enhanced prediction).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from ratcli.regions import LabelArray
from ratcli.scan import FloatArray

VIEWS = 8
NEIGHBOURS_PX = 2.0
"""Standard deviation of the Gaussian that averages over neighbours, on the input's grid."""

_Sample = TypeVar("_Sample", bound=np.generic)
RestorePlanes = Callable[[Sequence[FloatArray], Sequence[LabelArray]], list[FloatArray]]


def turn(plane: npt.NDArray[_Sample], view: int) -> npt.NDArray[_Sample]:
    """Return a view of a plane.

    Args:
        plane: `(..., H, W)`.
        view: 0, the plane itself, to 7.

    Returns:
        `(..., H, W)`, or `(..., W, H)` for odd views.
    """
    mirrored = plane[..., ::-1] if view >= VIEWS // 2 else plane
    return np.rot90(mirrored, view % 4, axes=(-2, -1))


def turn_back(plane: npt.NDArray[_Sample], view: int) -> npt.NDArray[_Sample]:
    """Return the plane of which `turn` made a view."""
    straight: npt.NDArray[_Sample] = np.rot90(plane, -(view % 4), axes=(-2, -1))
    return straight[..., ::-1] if view >= VIEWS // 2 else straight


def mean_of_views(
    networks: Sequence[RestorePlanes],
    planes: Sequence[FloatArray],
    labels: Sequence[LabelArray],
    views: int = VIEWS,
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Restore planes in their views by one or several networks, and average what comes back.

    The mean moves from one to the next (Welford), so that it is exact where all agree.

    Args:
        networks: each takes planes of one shape and their labels; see `Engine.restore`.
        planes: `(C, H, W)` each, of one shape.
        labels: `(s*H, s*W)` each.
        views: how many, from the plane as it is.

    Returns:
        For each plane the mean, and the variance (one degree of freedom less than there are views
        times networks), `(C, s*H, s*W)`.
    """
    ways = [(network, view) for view in range(views) for network in networks]
    means: list[FloatArray] = networks[0](planes, labels)
    squares = [np.zeros_like(mean) for mean in means]
    for count, (network, view) in enumerate(ways[1:], start=2):
        turned = network([turn(p, view) for p in planes], [turn(x, view) for x in labels])
        for index, restored in enumerate(turned):
            _include(means, squares, index, turn_back(restored, view), count)
    return means, [square / np.float32(max(len(ways) - 1, 1)) for square in squares]


def deviation_of(variance: FloatArray, scale: int) -> FloatArray:
    """Return the standard deviation of each pixel, from its variance and its neighbours'.

    Args:
        variance: `(C, H, W)`.
        scale: output pixels for each input pixel and axis.
    """
    return np.sqrt(over_neighbours(variance, scale))


def over_neighbours(values: FloatArray, scale: int) -> FloatArray:
    """Return `(C, H, W)`, each value averaged over its neighbours; see `NEIGHBOURS_PX`."""
    sigma = (0.0, NEIGHBOURS_PX * scale, NEIGHBOURS_PX * scale)
    pooled: FloatArray = gaussian_filter(values, sigma, mode="nearest")
    return pooled


def _include(
    means: list[FloatArray],
    squares: list[FloatArray],
    index: int,
    restored: FloatArray,
    count: int,
) -> None:
    """Take one more view into a running mean and sum of squared differences."""
    before = restored - means[index]
    means[index] = means[index] + before / np.float32(count)
    squares[index] = squares[index] + before * (restored - means[index])
