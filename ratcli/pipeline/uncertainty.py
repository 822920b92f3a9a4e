"""The uncertainty: a standard deviation for each pixel, from the variance between samples.

Eight views show a pixel's variance within a factor of two only, so it is averaged over neighbours.
On held-out CT the true error is then 4 to 9 times that standard deviation, more where it is low.
A factor, and a floor or a share of the value that is added in quadrature, make up for this. They
are fitted to given weights (benchmarks/calibration.py); the registry beside the weights holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from ratcli.network.registry import WeightsEntry
from ratcli.scan import FloatArray
from ratcli.task import Task

NEIGHBOURS_PX = 2.0
"""Standard deviation of the Gaussian that averages over neighbours, on the input's grid."""


@dataclass(frozen=True)
class Calibration:
    """From the variance between samples to an uncertainty; see `WeightsEntry` for the numbers.

    Attributes:
        scale: true error, divided by the standard deviation of the samples.
        floor: error that the samples do not show, in the task's first unit.
        share: the same as a share of the restored value.
    """

    scale: float
    floor: float
    share: float

    @classmethod
    def of(cls, entries: Sequence[WeightsEntry]) -> Calibration:
        """Return the numbers of weights; the largest ones if there are several weights."""
        return cls(
            max(entry.uncertainty_scale for entry in entries),
            max(entry.uncertainty_floor for entry in entries),
            max(entry.uncertainty_share for entry in entries),
        )

    def uncertainty(self, task: Task, variance: FloatArray, restored: FloatArray) -> FloatArray:
        """Return the standard deviation of each pixel in the task's first unit.

        Args:
            task: the task.
            variance: between samples, `(C, H, W)`, normalised.
            restored: mean of the samples, `(C, H, W)`, normalised.
        """
        deviation = task.gain * self.scale * deviation_of(variance, task.scale)
        floor: float | FloatArray = self.floor
        if self.share:
            value = over_neighbours(task.denormalise(restored), task.scale)
            floor = np.hypot(floor, self.share * value)
        whole: FloatArray = np.hypot(deviation, floor)
        return whole

    def describe(self, unit: str) -> str:
        """Return the numbers as a phrase."""
        parts = [f"{self.floor:g} {unit}"] if self.floor else []
        parts += [f"{self.share:g} of the value"] if self.share else []
        added = f" and {' and '.join(parts)} in quadrature" if parts else ""
        return f"times {self.scale:g}{added}"

    @property
    def recorded(self) -> str:
        """The numbers, as the provenance records them."""
        share = f",{self.share!r}" if self.share else ""
        return f"uncertainty_scale={self.scale!r},{self.floor!r}{share}"


def deviation_of(variance: FloatArray, scale: int) -> FloatArray:
    """Return the standard deviation of each pixel, from its variance and its neighbours'.

    Args:
        variance: `(C, H, W)`.
        scale: output pixels for each input pixel and axis.
    """
    return np.sqrt(over_neighbours(variance, scale))


def over_neighbours(values: FloatArray, scale: int) -> FloatArray:
    """Return `(C, H, W)`, each value averaged over its neighbours; see `NEIGHBOURS_PX`."""
    sigma = (0.0, NEIGHBOURS_PX * scale, NEIGHBOURS_PX * scale)
    averaged: FloatArray = gaussian_filter(values, sigma, mode="nearest")
    return averaged
