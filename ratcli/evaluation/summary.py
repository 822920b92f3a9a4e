"""A figure over patients: its mean, spread and bootstrap interval. No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ratcli.errors import MeasurementError


@dataclass(frozen=True)
class Summary:
    """A figure over patients.

    Attributes:
        mean: over patients, each counted once.
        sd: sample standard deviation; nan for fewer than two.
        low: lower end of the bootstrap interval; nan for fewer than two.
        high: its upper end.
        count: number of patients.
    """

    mean: float
    sd: float
    low: float
    high: float
    count: int


def summarise(
    values: Sequence[float], level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Summary:
    """Summarise one figure a patient, with a percentile bootstrap interval of the mean.

    Args:
        values: one figure for each patient, not for each slice: slices are not independent.
        level: coverage of the interval.
        draws: bootstrap samples.
        seed: of the sampling.

    Raises:
        MeasurementError: no values.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    """
    sample = np.asarray(values, np.float64)
    if sample.size == 0:
        raise MeasurementError("no figures were given to summarise")
    if sample.size < 2:
        return Summary(float(sample[0]), math.nan, math.nan, math.nan, 1)
    picks = np.random.default_rng(seed).integers(0, sample.size, (draws, sample.size))
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(sample[picks].mean(axis=1), (tail, 1.0 - tail))
    return Summary(
        float(sample.mean()), float(sample.std(ddof=1)), float(low), float(high), int(sample.size)
    )
