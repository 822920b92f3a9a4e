"""What a network tells of its own error beside that error: groups of pixels, and a fit to them.

A real scan that serves as the reference is noisy itself. Reference u is a scan of full dose with
noise r of its own, to which the noise n of a lower dose is added; the variance of n is k^2 times
that of r. The network's f = f(u + n) is compared with u - r, which nobody knows. r and n are alike
but for their strength, and independent, so that over many pixels

    mean (f - (u - r))^2 = mean (f - u)^2 + (2 mean (f - u) n - mean n^2) / k^2,

where f takes noise in linearly. Where the truth is known, k is infinite.
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
    """The pixels of one restored plane that count, `(N,)` each, in one unit.

    Attributes:
        patient: whose.
        condition: how the plane was degraded.
        told: spread of the views, not calibrated.
        value: restored, averaged over neighbours.
        apart: restored minus reference.
        noise: what was added to the reference.
        added: k^2, variance of that noise over that of the reference's own; infinite where the
            reference has none.
    """

    patient: str
    condition: str
    told: FloatArray
    value: FloatArray
    apart: FloatArray
    noise: FloatArray
    added: float


@dataclass(frozen=True)
class Row:
    """Pixels that are alike: root mean squares.

    Attributes:
        condition: how their planes were degraded.
        sorted_by: `told` or `value`, whichever is alike.
        pixels: how many.
        told: spread of the views.
        value: restored.
        error: from what nobody knows; 0 where the noise of the reference explains all.
        apart: from the reference.
    """

    condition: str
    sorted_by: str
    pixels: int
    told: float
    value: float
    error: float
    apart: float


@dataclass(frozen=True)
class Fit:
    """`error^2 = (scale told)^2 + floor^2 + (share value)^2`, as the registry holds it."""

    scale: float
    floor: float = 0.0
    share: float = 0.0

    def predicted(self, row: Row) -> float:
        """Return the calibrated standard deviation of some pixels."""
        parts = (self.scale * row.told, self.floor, self.share * row.value)
        return float(np.sqrt(sum(part**2 for part in parts)))

    def ratio(self, row: Row) -> float:
        """Return true error over what is told of it; ideal 1."""
        return row.error / self.predicted(row)


def together(samples: Sequence[Sample]) -> Row:
    """Return the figures of all pixels of some planes of one condition."""
    return _row(samples[0], "told", *_columns(samples))


def groups(samples: Sequence[Sample], sorted_by: str = "told") -> list[Row]:
    """Return ten groups of as many pixels each, from low to high spread, or value."""
    columns = _columns(samples)
    order = np.argsort(columns[("told", "value").index(sorted_by)], kind="stable")
    return [
        _row(samples[0], sorted_by, *(column[part] for column in columns))
        for part in np.array_split(order, GROUPS)
    ]


def fit(rows: Iterable[Row], with_share: bool) -> Fit:
    """Fit a factor, and a floor or a share of the value, by relative least squares.

    Args:
        rows: groups that differ in spread; where a share is fitted, in value, too.
        with_share: whether what no spread tells follows the value, or is the same everywhere.
    """
    used = [row for row in rows if row.error > 0]
    rest = [row.value if with_share else 1.0 for row in used]
    squares = np.array([(row.told, other) for row, other in zip(used, rest, strict=True)]) ** 2
    error = np.array([row.error for row in used]) ** 2
    factors, _ = nnls(squares / error[:, None], np.ones(len(used)))
    scale, other = (float(factor) ** 0.5 for factor in factors)
    return Fit(scale, share=other) if with_share else Fit(scale, floor=other)


def _columns(samples: Sequence[Sample]) -> tuple[RealArray, RealArray, RealArray, RealArray]:
    """Return told, value, and squares of the distance and of the error, of all pixels."""
    told, value, apart, noise = (
        np.concatenate([getattr(sample, name) for sample in samples]).astype(np.float64)
        for name in ("told", "value", "apart", "noise")
    )
    return told, value, apart**2, apart**2 + (2 * apart * noise - noise**2) / samples[0].added


def _row(
    sample: Sample,
    sorted_by: str,
    told: RealArray,
    value: RealArray,
    apart_square: RealArray,
    error_square: RealArray,
) -> Row:
    return Row(
        sample.condition,
        sorted_by,
        told.size,
        float(np.mean(told**2)) ** 0.5,
        float(np.mean(value**2)) ** 0.5,
        max(float(error_square.mean()), 0.0) ** 0.5,
        float(apart_square.mean()) ** 0.5,
    )
