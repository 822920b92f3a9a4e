"""Comparing figures of two runs, whose last digits may differ."""

from __future__ import annotations

import math


def alike(one: object, other: object) -> bool:
    """Return whether two results have the same parts, numbers to nine digits.

    How arrays lie in memory decides the order in which sums are added up, and so the last digits.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other
