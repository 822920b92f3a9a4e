"""The non-prewhitening observer with eye filter: d' from a noise spectrum and a transfer function.

It looks for the signal as blurred by the scanner and the eye, and does not undo the correlation of
the noise, as human readers do not. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import j1

from ratcli.evaluation.resolution import Transfer
from ratcli.evaluation.spectrum import Spectrum

RealArray = npt.NDArray[np.float64]
Filter = Callable[[RealArray], RealArray]

VIEWING_MM = 500.0
"""Distance of the eye from the screen, on which the scan is shown at its own size."""

_EYE_POWER, _EYE_PEAK = 1.3, 4.0
_STEPS = 2000


def eye_filter(frequency_per_mm: RealArray) -> RealArray:
    """Return the response of the eye; highest at 4 cycles a degree.

    Source: Burgess, J. Opt. Soc. Am. A 11(4):1237, 1994: f^1.3 exp(-c f²).
    """
    cycles = frequency_per_mm * VIEWING_MM * math.pi / 180  # a degree
    response: RealArray = cycles**_EYE_POWER * np.exp(-_EYE_POWER / 2 * (cycles / _EYE_PEAK) ** 2)
    return response


def npwe(
    spectrum: Spectrum,
    transfer: Transfer,
    diameter_mm: float,
    contrast: float,
    eye: Filter = eye_filter,
) -> float:
    """Return d' for a disc in stationary noise.

    Args:
        spectrum: of the noise.
        transfer: at an edge of about the contrast of the disc; denoisers are not linear.
        diameter_mm: of the disc.
        contrast: of the disc, in the unit of the scan.
        eye: response of the eye to frequencies in 1/mm.

    Source: AAPM Report 233 (2019), section on detectability; Burgess 1994.
    """
    highest = min(spectrum.radial_per_mm[-1], transfer.frequency_per_mm[-1])
    f = (np.arange(_STEPS) + 0.5) * highest / _STEPS
    radius = diameter_mm / 2
    disc = contrast * radius * j1(2 * math.pi * f * radius) / f
    seen = (disc * np.interp(f, transfer.frequency_per_mm, transfer.transfer) * eye(f)) ** 2
    power = np.interp(f, spectrum.radial_per_mm, spectrum.radial_power)
    ring = 2 * math.pi * f * highest / _STEPS
    return float((seen * ring).sum() / math.sqrt((seen * power * eye(f) ** 2 * ring).sum()))
