"""Numbers and units as tables and reports write them."""

from __future__ import annotations

import math

from ratcli.evaluation.results import Evaluation


def number(value: float, digits: int = 2) -> str:
    """Return a number for readers: a dash for nan, the sign of infinity, a true minus."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign."""
    return ("+" if value > 0 else "") + number(value, digits)


def interval(low: float, high: float, digits: int = 2) -> str:
    """Return an interval, a dash where it is not known."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    return f"{number(low, digits)} to {number(high, digits)}"


def digits_of(found: Evaluation) -> int:
    """Return how many digits after the point a value in the scan's unit needs."""
    return {"HU": 2, "SUV": 3, "RGB": 4}.get(found.unit or "", 2)


def unit_of(found: Evaluation) -> str:
    """Return the unit of an evaluation, for labels."""
    return found.unit or "unknown unit"


def in_plane(plane: int | None) -> str:
    """Return in which plane something lies; nothing for all planes together."""
    return "" if plane is None else f" in plane {plane + 1}"
