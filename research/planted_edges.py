"""Planted discs, and how much of their sharpness a method keeps, for benchmarks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ratcli.errors import MeasurementError
from ratcli.evaluation.resolution import disc_transfer


def f50_kept(
    rendered: npt.NDArray[np.floating],
    planted: npt.NDArray[np.floating],
    spacing_mm: float,
    centre: tuple[float, float],
    radius_px: float,
) -> float:
    """Return the f50 of the edge of a disc that a method leaves, over that of the planted one.

    A method that is not linear renders a disc as it does among the anatomy and noise around it:
    restore a plane with and without the disc, and give the difference.

    Args:
        rendered: `(H, W)`, restored with the disc less restored without.
        planted: `(H, W)`, the disc itself, as blurred as the scan.
        spacing_mm: pixel pitch, the same in both directions.
        centre: row and column of the disc's centre in pixels.
        radius_px: its radius.

    Returns:
        1 for a method that keeps the edge, 0 where the edge is lost; has no unit.

    Raises:
        MeasurementError: the planted disc has no edge to measure.

    Source: AAPM Report 233, 2019, for the transfer function; the ratio is that of its f50.
    """
    whole = disc_transfer(planted, spacing_mm, centre, radius_px).f50_per_mm
    try:
        kept = disc_transfer(rendered, spacing_mm, centre, radius_px).f50_per_mm
    except MeasurementError:  # lost in noise
        return 0.0
    return kept / whole
