"""Compares the uncertainty of a network with its true error: groups of pixels, and a fit to them.

A real scan that serves as the reference is noisy itself. Reference u is a scan of full dose with
noise r, to which the noise n of a lower dose is added; the variance of n is k^2 times that of r.
The restored plane f = f(u + n) should be compared with u - r, which is unknown. r and n are
independent and differ only in their strength, so that over many pixels

    mean (f - (u - r))^2 = mean (f - u)^2 + (2 mean (f - u) n - mean n^2) / k^2,

if f is linear in the noise. For a reference without noise, k is infinite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from ratcli.scan import FloatArray

GROUPS = 10
RealArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """The pixels of one restored plane that are evaluated, `(N,)` each, in one unit.

    Attributes:
        patient: of the plane.
        condition: how the plane was degraded.
        uncertainty: standard deviation of the views, not calibrated.
        value: restored, averaged over neighbours.
        difference: restored minus reference.
        noise: what was added to the reference.
        added: k^2, the variance of that noise over that of the noise in the reference; infinite if
            the reference has no noise.
    """

    patient: str
    condition: str
    uncertainty: FloatArray
    value: FloatArray
    difference: FloatArray
    noise: FloatArray
    added: float


@dataclass(frozen=True)
class Row:
    """Root mean squares of a group of similar pixels.

    Attributes:
        condition: how their planes were degraded.
        sorted_by: `uncertainty` or `value`, by which the pixels are grouped.
        pixels: how many.
        uncertainty: standard deviation of the views.
        value: restored.
        error: from the unknown truth; 0 if the noise of the reference explains the difference.
        difference: from the reference.
    """

    condition: str
    sorted_by: str
    pixels: int
    uncertainty: float
    value: float
    error: float
    difference: float


@dataclass(frozen=True)
class Calibration:
    """Calibration of an uncertainty, as the registry holds it.

    `error^2 = (scale uncertainty)^2 + floor^2 + (share value)^2`
    """

    scale: float
    floor: float = 0.0
    share: float = 0.0

    def predicted(self, row: Row) -> float:
        """Return the calibrated standard deviation of some pixels."""
        parts = (self.scale * row.uncertainty, self.floor, self.share * row.value)
        return float(np.sqrt(sum(part**2 for part in parts)))

    def ratio(self, row: Row) -> float:
        """Return the true error over the calibrated uncertainty; 1 is ideal."""
        return row.error / self.predicted(row)


def pooled(samples: Sequence[Sample]) -> Row:
    """Return the figures of all pixels of some planes of one condition."""
    return _row(samples[0], "uncertainty", *_columns(samples))


def groups_of(samples: Sequence[Sample], sorted_by: str = "uncertainty") -> list[Row]:
    """Return ten groups with equal numbers of pixels, from low to high uncertainty, or value."""
    columns = _columns(samples)
    order = np.argsort(columns[("uncertainty", "value").index(sorted_by)], kind="stable")
    return [
        _row(samples[0], sorted_by, *(column[part] for column in columns))
        for part in np.array_split(order, GROUPS)
    ]


def fit(rows: Iterable[Row], with_share: bool) -> Calibration:
    """Calibration a factor, and a floor or a share of the value, by relative least squares.

    Args:
        rows: groups with different uncertainty, and with different values if a share is fitted.
        with_share: whether the part of the error that the views do not show is proportional to the
            value, instead of being the same everywhere.
    """
    used = [row for row in rows if row.error > 0]
    rest = [row.value if with_share else 1.0 for row in used]
    squares = (
        np.array([(row.uncertainty, other) for row, other in zip(used, rest, strict=True)]) ** 2
    )
    error = np.array([row.error for row in used]) ** 2
    factors, _ = nnls(squares / error[:, None], np.ones(len(used)))
    scale, other = (float(factor) ** 0.5 for factor in factors)
    return Calibration(scale, share=other) if with_share else Calibration(scale, floor=other)


def _columns(samples: Sequence[Sample]) -> tuple[RealArray, RealArray, RealArray, RealArray]:
    """Return uncertainty, value, and squares of difference and error, of all pixels."""
    uncertainty, value, difference, noise = (
        np.concatenate([getattr(sample, name) for sample in samples]).astype(np.float64)
        for name in ("uncertainty", "value", "difference", "noise")
    )
    return (
        uncertainty,
        value,
        difference**2,
        difference**2 + (2 * difference * noise - noise**2) / samples[0].added,
    )


def _row(
    sample: Sample,
    sorted_by: str,
    uncertainty: RealArray,
    value: RealArray,
    difference_square: RealArray,
    error_square: RealArray,
) -> Row:
    return Row(
        sample.condition,
        sorted_by,
        uncertainty.size,
        float(np.mean(uncertainty**2)) ** 0.5,
        float(np.mean(value**2)) ** 0.5,
        max(float(error_square.mean()), 0.0) ** 0.5,
        float(difference_square.mean()) ** 0.5,
    )
