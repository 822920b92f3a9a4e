"""Simulates fewer counts of a whole PET scan; planes with more activity have more counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ratcli.physics import Degradation
from ratcli.physics.pet import simulate_low_count
from ratcli.physics.pet_counts import PetCounts
from ratcli.physics.seeds import plane_generator
from ratcli.scan import BoolArray, FloatArray

_FEWEST = 100.0


@dataclass(frozen=True)
class PetDegrader:
    """Adds the noise that fewer counts would give; see `Degrader`.

    Attributes:
        counts: of a mean plane.
        spacing_mm: pixel pitch.
        seed: of the noise.
        mean_activity: sum of a mean plane.
    """

    counts: PetCounts
    spacing_mm: float
    seed: int
    mean_activity: float

    @property
    def shrinks(self) -> int:
        """The grid does not change."""
        return 1

    @property
    def facts(self) -> dict[str, float]:
        """Prompts of a mean plane after the reduction."""
        return {"counts": self.counts.counts * self.counts.fraction}

    def __call__(self, values: FloatArray, padding: BoolArray, plane: int) -> FloatArray:
        """Degrade a plane `(1, H, W)` in SUV or activity; see `Degrader`."""
        activity = np.where(padding, 0, values[0]).astype(np.float32)
        share = float(np.maximum(activity, 0).sum(dtype=np.float64)) / self.mean_activity
        counts = self.counts.counts * share
        if counts * self.counts.fraction < _FEWEST:  # too few counts to simulate
            return values
        own = replace(self.counts, counts=counts)
        generator = plane_generator(self.seed, plane)
        low = simulate_low_count(torch.from_numpy(activity), self.spacing_mm, own, generator)
        return np.where(padding, values[0], low.numpy())[None].astype(np.float32)


def degrader(
    degradation: Degradation, samples: Sequence[FloatArray], spacing_mm: float
) -> PetDegrader:
    """Distribute the counts of a scan over its planes, by their activity."""
    sums = [float(np.maximum(values, 0).sum(dtype=np.float64)) for values in samples]
    counts = PetCounts(counts=degradation.counts, fraction=degradation.dose, original=1.0)
    return PetDegrader(counts, spacing_mm, degradation.seed, max(float(np.mean(sums)), 1e-12))
