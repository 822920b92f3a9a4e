"""The local level: what a restored plane keeps of its input over some centimetres.

A network that was trained on noisy planes answers with what is likely, and shrinks what is rare
towards it: uptake of hot regions comes out too low. Thinning counts does not change the mean, so
the input is right where it is averaged over enough pixels. The smoothed difference of both is
given back; what it returns of the noise is small, as the Gaussian averages over many pixels.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from ratcli.scan import BoolArray, FloatArray


def with_level_of(
    before: FloatArray, after: FloatArray, free: BoolArray, sigma_px: float
) -> FloatArray:
    """Return a restored plane with the local level of what it was made from.

    Args:
        before: `(C, H, W)`.
        after: the restored plane, same shape and unit.
        free: `(H, W)` or `(C, H, W)`, true where the result may differ; nothing else counts.
        sigma_px: standard deviation of the Gaussian, in pixels.

    Returns:
        float32 `(C, H, W)`, whose sum over free pixels is that of `before` but for what the
        Gaussian carries across their border.
    """
    lost = np.where(free, before - after, np.float32(0))
    level: FloatArray = gaussian_filter(lost, (0.0, sigma_px, sigma_px), mode="reflect")
    return after + level
