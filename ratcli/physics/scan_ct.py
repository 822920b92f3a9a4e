"""Simulates a lower dose of a whole CT scan; its noise shows how many photons it had."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch

from ratcli.errors import MeasurementError
from ratcli.physics import Degradation
from ratcli.physics.ct import CtDose, calibrate_photons, low_dose_noise
from ratcli.physics.kernels import MEDIUM_SMOOTH, Kernel
from ratcli.physics.local_noise import typical_noise
from ratcli.physics.seeds import plane_generator
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


@dataclass(frozen=True)
class CtDegrader:
    """Adds the additional noise of a lower dose; see `Degrader`."""

    dose: CtDose
    spacing_mm: float
    seed: int
    scan_noise_hu: float | None

    @property
    def shrinks(self) -> int:
        """The grid does not change."""
        return 1

    @property
    def facts(self) -> dict[str, float]:
        """Photons of a reading, and the noise found in the scan."""
        found = {} if self.scan_noise_hu is None else {"scan_noise_hu": self.scan_noise_hu}
        return {"photons": self.dose.photons, **found}

    def __call__(self, values: FloatArray, padding: BoolArray, plane: int) -> FloatArray:
        """Degrade a plane `(1, H, W)` in HU; see `Degrader`."""
        hu = torch.from_numpy(np.where(padding, np.float32(-1000), values[0]).astype(np.float32))
        noise = low_dose_noise(hu, self.spacing_mm, self.dose, plane_generator(self.seed, plane))
        low = np.where(padding, values[0], values[0] + noise.numpy())
        return low[None].astype(np.float32)


def degrader(
    degradation: Degradation, samples: Sequence[FloatArray], spacing_mm: float
) -> CtDegrader:
    """Find the photons that explain the noise of a scan; if none is found, use a usual number."""
    dose = CtDose(
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
        dose = replace(dose, photons=_photons(dose, samples, spacing_mm, noise))
    return CtDegrader(dose, spacing_mm, degradation.seed, noise)


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
