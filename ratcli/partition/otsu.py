"""Otsu's criterion for several classes, exact by dynamic programming."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def otsu_thresholds(histogram: npt.NDArray[np.integer], classes: int) -> list[int]:
    """Cut a histogram into classes so that the variance between them is largest.

    Args:
        histogram: counts `(N,)`.
        classes: number of classes, 1 to N.

    Returns:
        Ascending first bins of the classes but the lowest: `classes - 1` numbers.

    Raises:
        ValueError: more classes than bins.

    Source: Otsu 1979; the recursion over the last class is that of Liao, Chen and Chung 2001.
    """
    bins = histogram.size
    if not 1 <= classes <= bins:
        raise ValueError(f"classes must be 1 to {bins}, not {classes}")
    gain = _class_gain(histogram)
    best = gain[0]  # best[j]: bins 0..j as one class
    starts: list[IntArray] = []
    for _ in range(classes - 1):
        total = np.full((bins, bins), -np.inf)  # total[i, j]: the last class is i..j
        total[1:] = best[:-1, None] + gain[1:]
        starts.append(total.argmax(axis=0))
        best = total.max(axis=0)
    return _trace_back(starts, bins - 1)


def _class_gain(histogram: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Squared sum over count of the bins i..j, `(N, N)`; minus infinity where j < i."""
    counts = np.concatenate([[0.0], np.cumsum(histogram, dtype=np.float64)])
    moments = np.concatenate([[0.0], np.cumsum(histogram * np.arange(histogram.size, dtype=float))])
    count = counts[None, 1:] - counts[:-1, None]
    moment = moments[None, 1:] - moments[:-1, None]
    gain = np.where(count > 0, moment**2 / np.maximum(count, 1), 0.0)
    gain[np.tril_indices(histogram.size, -1)] = -np.inf
    return gain


def _trace_back(starts: list[IntArray], last: int) -> list[int]:
    """Follow the best starts from the last bin down."""
    cuts: list[int] = []
    for start in reversed(starts):
        cuts.append(int(start[last]))
        last = cuts[-1] - 1
    return cuts[::-1]
