"""Which stored number is white in colours: what the user or the file says, else the highest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ratcli.errors import UnsuitableInputError

MAX_SAMPLE_VALUE = 281
_LOWER_PEAKS = (255, 1023, 4095, 16383, 65535)
_WHOLE_BITS = (8, 16, 32, 64)


class ToldScale(NamedTuple):
    """What is said about the scale of samples, beside the tags.

    Attributes:
        significant_bits: of the description (OME's SignificantBits), or None.
        full_scale: stored number that the user says is white in colours, or None.
        calibration: what a stored step of gray is, and the value of stored 0 (ImageJ).
    """

    significant_bits: int | None = None
    full_scale: float | None = None
    calibration: tuple[float, float] = (1.0, 0.0)


class White(NamedTuple):
    """The full scale of colours.

    Attributes:
        read: stored number that means 1.
        written: the same for what is written.
        is_assumed: whether nothing but the type of 16-bit samples tells it.
    """

    read: float
    written: float
    is_assumed: bool = False


def white_of(page: Any, said: ToldScale) -> White:
    """Return the full scale of a page in colour.

    MaxSampleValue may be the highest value that occurs: the next full scale of 8, 10, 12, 14 or 16
    bits is taken.

    Args:
        page: tifffile's page.
        said: what the user and the description say.

    Raises:
        UnsuitableInputError: the samples cannot reach the full scale.
    """
    if said.full_scale is not None:
        _check_reached(np.dtype(page.dtype), said.full_scale)
        return White(said.full_scale, said.full_scale)
    bits = int(page.bitspersample)
    highest = float((1 << bits) - 1)
    if page.dtype != np.uint16:
        return White(highest, highest)
    if said.significant_bits is not None and 8 <= said.significant_bits <= 16:
        told: int | None = (1 << said.significant_bits) - 1
    else:
        told = _of_tag(page.tags.valueof(MAX_SAMPLE_VALUE))
    if told is not None:
        return White(float(told), float(told))
    whole = highest if bits in _WHOLE_BITS else float((1 << -(-bits // 8) * 8) - 1)
    return White(highest, whole, is_assumed=bits == 16)


def white_of_palette(palette: npt.NDArray[Any]) -> White:
    """Return the full scale of the colours of a palette."""
    top = float(np.iinfo(palette.dtype).max)
    return White(top, top)


def _of_tag(value: Any) -> int | None:
    numbers = np.ravel(value)[:3] if value is not None else np.zeros(0)
    if numbers.size == 0 or numbers.dtype.kind not in "iu" or numbers.max() <= 1:
        return None
    return next((peak for peak in _LOWER_PEAKS if int(numbers.max()) <= peak), None)


def _check_reached(dtype: np.dtype[Any], full_scale: float) -> None:
    if dtype.kind in "iu" and full_scale > np.iinfo(dtype).max:
        raise UnsuitableInputError(
            f"samples are {dtype.name}, so that white cannot be {full_scale:g}",
            hint="Leave --full-scale out for this file.",
        )
