"""Agreement of paired figures: bias and limits of agreement. No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ratcli.errors import MeasurementError


@dataclass(frozen=True)
class Agreement:
    """Agreement of paired figures.

    Attributes:
        means: `(N,)` of each pair.
        differences: `(N,)`, first less second.
        bias: mean difference.
        bias_low: lower end of its 95 % interval.
        bias_high: upper end.
        low: lower limit of agreement, bias - 1.96 SD.
        high: upper limit.
    """

    means: tuple[float, ...]
    differences: tuple[float, ...]
    bias: float
    bias_low: float
    bias_high: float
    low: float
    high: float


def bland_altman(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Return bias and limits of agreement of paired figures.

    Args:
        first: figures of the restored scan.
        second: of the reference, the same regions.

    Raises:
        MeasurementError: fewer than three pairs.

    Source: Bland and Altman, Lancet 1986; 327:307.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.size < 3 or one.size != two.size:
        raise MeasurementError(
            f"{one.size} pairs are too few to measure agreement; expected three or more"
        )
    difference = one - two
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    half = float(stdtrit(one.size - 1, 0.975)) * spread / math.sqrt(one.size)
    return Agreement(
        means=tuple(((one + two) / 2.0).tolist()),
        differences=tuple(difference.tolist()),
        bias=bias,
        bias_low=bias - half,
        bias_high=bias + half,
        low=bias - 1.96 * spread,
        high=bias + 1.96 * spread,
    )
