"""Simulates slides with pixels four times as large, as is usual in super-resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ratcli.physics import Degradation
from ratcli.physics.pathology import SlideScan, degrade_slide
from ratcli.scan import BoolArray, FloatArray


@dataclass(frozen=True)
class SlideDegrader:
    """Shrinks by antialiased bicubic interpolation; see `Degrader`."""

    scan: SlideScan

    @property
    def shrinks(self) -> int:
        """Input pixels for each output pixel and axis."""
        return self.scan.scale

    @property
    def facts(self) -> dict[str, float]:
        """Nothing is measured."""
        return {}

    def __call__(self, values: FloatArray, padding: BoolArray, plane: int) -> FloatArray:
        """Degrade a part of a slide `(C, H, W)`, sides multiples of the scale; see `Degrader`."""
        low: FloatArray = degrade_slide(torch.from_numpy(values), self.scan).numpy()
        return low


def degrader(
    degradation: Degradation, samples: Sequence[FloatArray], spacing_mm: float
) -> SlideDegrader:
    """Return the degradation of the literature: only bicubic interpolation."""
    return SlideDegrader(SlideScan())
