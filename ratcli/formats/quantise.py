"""Float32 values to the numbers that a file stores, without any hidden rescaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ratcli.scan import FloatArray

StoredArray = npt.NDArray[Any]


def to_native(stored: StoredArray, slope: float = 1.0, intercept: float = 0.0) -> FloatArray:
    """Return `stored * slope + intercept` as float32, computed in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        if slope == 1.0 and intercept == 0.0:
            return stored.astype(np.float32)
        return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def to_stored(
    values: FloatArray, dtype: np.dtype[Any], slope: float = 1.0, intercept: float = 0.0
) -> StoredArray:
    """Return the stored numbers nearest to native values: rounded and clipped for integers.

    Args:
        values: float32, any shape, in the native unit.
        dtype: integer, boolean or float type on disk.
        slope: native units for a stored step; not 0.
        intercept: native value of stored 0.

    Raises:
        ValueError: NaN, and the type on disk is an integer.
    """
    exact = (values.astype(np.float64) - intercept) / slope
    if dtype.kind == "f":
        return _clip_to_float(exact, dtype)
    if np.isnan(exact).any():
        raise ValueError(f"NaN cannot be stored as {dtype.name}")
    if dtype.kind == "b":
        return (exact >= 0.5).astype(dtype)
    low, high = integer_range(dtype)
    return np.clip(np.rint(exact), low, high).astype(dtype)


def integer_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the lowest and highest float64 that an integer type holds."""
    limits = np.iinfo(dtype)
    high = float(limits.max)
    if int(high) > limits.max:  # 64 bits: float64 rounds the maximum up, out of the range
        high = float(np.nextafter(high, 0.0))
    return float(limits.min), high


def keep_untouched(
    values: FloatArray, source: FloatArray, source_stored: StoredArray, stored: StoredArray
) -> StoredArray:
    """Restore the stored numbers of the source for values that did not change.

    float32 cannot hold every int32 or float64, but unchanged values must come back exactly.

    Args:
        values: what is written, native unit.
        source: what was read, the same shape and unit.
        source_stored: the numbers that gave `source`.
        stored: `values` quantised.
    """
    same = (values == source) | (np.isnan(values) & np.isnan(source))
    return np.where(same, source_stored, stored)


def _clip_to_float(exact: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> StoredArray:
    largest = np.finfo(dtype).max
    if dtype.itemsize < 8:
        finite = np.isfinite(exact)
        exact = np.where(finite, np.clip(exact, -float(largest), float(largest)), exact)
    return exact.astype(dtype)
