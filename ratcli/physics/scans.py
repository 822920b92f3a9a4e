"""Degrades the planes of a whole scan as its scanner would: less dose, fewer counts, less detail.

A task's degradation is a `Degrader` and one line in `DEGRADERS`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch

from ratcli.errors import MeasurementError
from ratcli.physics import Degradation
from ratcli.physics.ct import calibrate_photons, low_dose_noise
from ratcli.physics.ct_dose import MEDIUM_SMOOTH, CtDose, Kernel
from ratcli.physics.local_noise import typical_noise
from ratcli.physics.pathology import SlideScan, degrade_slide
from ratcli.physics.pet import simulate_low_count
from ratcli.physics.pet_acquisition import PetCounts
from ratcli.scan import BoolArray, FloatArray

KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {
        "smooth": Kernel("gaussian", 0.24),
        "medium": MEDIUM_SMOOTH,
        "sharp": Kernel("hann", 1.0),
        "edge": Kernel("edge", 1.1),
    }
)
"""Kernels by name: soft tissue from smooth to sharp, and one for lungs and bones."""

_TISSUE_HU = (-160.0, 240.0)
_LEAST_HU = 0.3
_FEWEST_COUNTS = 100.0


class Degrader(ABC):
    """A degradation that is ready for the planes of one scan.

    Attributes:
        shrinks: input pixels for each output pixel and axis.
        facts: what was measured or assumed; it is shown and recorded.
    """

    shrinks: int = 1
    facts: Mapping[str, float] = MappingProxyType({})

    def __init__(
        self, degradation: Degradation, samples: Sequence[FloatArray], spacing_mm: float
    ) -> None:
        self.degradation = degradation
        self.spacing_mm = spacing_mm

    @abstractmethod
    def __call__(self, values: FloatArray, padding: BoolArray, plane: int) -> FloatArray:
        """Degrade a plane.

        Args:
            values: `(C, H, W)` in the task's first unit, or one proportional to it; sides of a
                part of a slide are multiples of `shrinks`.
            padding: `(H, W)`, true for pixels without a measurement; they do not change.
            plane: its number; seeds its noise.
        """


def _generator(seed: int, plane: int) -> torch.Generator:
    """Return a source of randomness that depends on seed and plane alone, not on their order."""
    state = np.random.SeedSequence((seed, plane)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


class CtDegrader(Degrader):
    """Adds the additional noise of a lower dose.

    The photons are those that explain the noise of the scan; if none is found, a usual number.
    """

    def __init__(
        self, degradation: Degradation, samples: Sequence[FloatArray], spacing_mm: float
    ) -> None:
        super().__init__(degradation, samples, spacing_mm)
        self.dose = CtDose(
            fraction=degradation.dose,
            original=1.0,
            kernel=KERNELS[degradation.kernel],
            modulation=degradation.modulation,
        )
        noise = degradation.noise_hu
        if noise is None:
            levels = [level for level in map(scan_noise_hu, samples) if level is not None]
            noise = float(np.median(levels)) if levels else None
        if noise is not None and degradation.dose < 1:
            self.dose = replace(self.dose, photons=_photons(self.dose, samples, spacing_mm, noise))
        self.facts = {"photons": self.dose.photons}
        if noise is not None:
            self.facts = {"scan_noise_hu": noise, **self.facts}

    def __call__(self, values: FloatArray, padding: BoolArray, plane: int) -> FloatArray:
        """Degrade a plane `(1, H, W)` in HU."""
        hu = torch.from_numpy(np.where(padding, np.float32(-1000), values[0]).astype(np.float32))
        generator = _generator(self.degradation.seed, plane)
        noise = low_dose_noise(hu, self.spacing_mm, self.dose, generator)
        low = np.where(padding, values[0], values[0] + noise.numpy())
        return low[None].astype(np.float32)


def _photons(
    dose: CtDose, samples: Sequence[FloatArray], spacing_mm: float, noise_hu: float
) -> float:
    """Return the photons that explain the noise of a scan of full dose, a median over planes."""
    # The variance to add is (1/d - 1) times the variance that the scan has.
    missing = noise_hu * math.sqrt(1 / dose.fraction - 1)
    planes = [torch.from_numpy(values[0].astype(np.float32)) for values in samples]
    found = [calibrate_photons(plane, spacing_mm, dose, missing).photons for plane in planes]
    return float(np.median(found))


def scan_noise_hu(values: FloatArray) -> float | None:
    """Return the noise of soft tissue; see `typical_noise`.

    Args:
        values: `(1, H, W)` in HU.

    Returns:
        Standard deviation in HU; None with fewer than 200 flat pixels of soft tissue.
    """
    try:
        return typical_noise(values[0], _TISSUE_HU, least=_LEAST_HU)
    except MeasurementError:
        return None


class PetDegrader(Degrader):
    """Adds the noise that fewer counts would give; planes with more activity have more counts."""

    def __init__(
        self, degradation: Degradation, samples: Sequence[FloatArray], spacing_mm: float
    ) -> None:
        super().__init__(degradation, samples, spacing_mm)
        sums = [float(np.maximum(values, 0).sum(dtype=np.float64)) for values in samples]
        self.mean_activity = max(float(np.mean(sums)), 1e-12)
        self.facts = {"counts": degradation.counts * degradation.dose}

    def __call__(self, values: FloatArray, padding: BoolArray, plane: int) -> FloatArray:
        """Degrade a plane `(1, H, W)` in SUV or activity."""
        activity = np.where(padding, 0, values[0]).astype(np.float32)
        share = float(np.maximum(activity, 0).sum(dtype=np.float64)) / self.mean_activity
        how = self.degradation
        if how.counts * share * how.dose < _FEWEST_COUNTS:  # too few counts to simulate
            return values
        own = PetCounts(counts=how.counts * share, fraction=how.dose, original=1.0)
        generator = _generator(how.seed, plane)
        low = simulate_low_count(torch.from_numpy(activity), self.spacing_mm, own, generator)
        return np.where(padding, values[0], low.numpy())[None].astype(np.float32)


class SlideDegrader(Degrader):
    """Makes pixels four times as large by antialiased bicubic interpolation, as is usual."""

    shrinks = SlideScan().scale

    def __call__(self, values: FloatArray, padding: BoolArray, plane: int) -> FloatArray:
        """Degrade a part of a slide `(C, H, W)`."""
        low: FloatArray = degrade_slide(torch.from_numpy(values), SlideScan()).numpy()
        return low


DEGRADERS: Mapping[str, Callable[[Degradation, Sequence[FloatArray], float], Degrader]] = (
    MappingProxyType(
        {"ct-denoise": CtDegrader, "pet-synthesis": PetDegrader, "pathology-sr": SlideDegrader}
    )
)
"""By the name of a task, what undoes that which it restores.

Made from a degradation, some planes `(C, H, W)` of the scan to measure it, and its pixel pitch.
"""
