"""Rows of calibration: the uncertainty beside the true error. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ratcli.evaluation.comparison import RESTORED
from ratcli.evaluation.views import ComparedView, channels_rms

RealArray = npt.NDArray[np.float64]

_GROUPS = 10


@dataclass(frozen=True)
class CalibrationRow:
    """Uncertainty beside the true error, over pixels of similar uncertainty.

    Attributes:
        uncertainty: root mean square of the given standard deviations, in the scan's unit.
        error: root mean square of restored minus reference in the same pixels.
        pixels: number of pixels.
    """

    uncertainty: float
    error: float
    pixels: int


@dataclass
class CalibrationRows:
    """Uncertainty beside the true error, in 200 steps of uncertainty 6 % apart."""

    _sums: RealArray = field(default_factory=lambda: np.zeros((3, 400)))

    def add(self, compared: ComparedView) -> None:
        """Add a plane that has both an uncertainty and a reference."""
        if compared.uncertainty is None or compared.reference is None:
            return
        given = compared.uncertainty[compared.mask].astype(np.float64)
        apart = channels_rms(compared.images[RESTORED] - compared.reference)
        error = apart[compared.mask].astype(np.float64)
        positive = given > 0.0
        given, error = given[positive], error[positive]
        step = np.clip(np.round(np.log(given) / 0.06) + 200, 0, 399).astype(np.int64)
        for row, weights in enumerate((np.ones_like(given), given**2, error**2)):
            self._sums[row] += np.bincount(step, weights, minlength=400)

    def rows(self) -> tuple[CalibrationRow, ...]:
        """Return ten groups of about as many pixels, from low to high uncertainty."""
        counts = self._sums[0]
        if counts.sum() == 0:
            return ()
        share = np.cumsum(counts) / counts.sum()
        group = np.minimum((share * _GROUPS - 1e-9).astype(np.int64), _GROUPS - 1)
        rows = []
        for number in np.unique(group[counts > 0]):
            pixels, given, error = self._sums[:, (group == number) & (counts > 0)].sum(axis=1)
            given_rms, error_rms = math.sqrt(given / pixels), math.sqrt(error / pixels)
            rows.append(CalibrationRow(given_rms, error_rms, int(pixels)))
        return tuple(rows)
