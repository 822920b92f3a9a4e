"""Keeps the input's local mean in a restored plane.

A network that was trained on noisy planes answers with what is likely and shrinks rare values
towards common ones: the uptake of hot regions comes out too low. Fewer counts do not change the
mean, so the input is right once it is averaged over enough pixels. The smoothed residual is added
to the result. Little noise comes with it, because the Gaussian averages over many pixels.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from ratcli.scan import BoolArray, FloatArray


def keep_mean(
    before: FloatArray, after: FloatArray, free: BoolArray, sigma_px: float
) -> FloatArray:
    """Return a restored plane with the local mean of the plane it was made from.

    Args:
        before: `(C, H, W)`.
        after: the restored plane in the same unit, `(C, H, W)`.
        free: true where the result may differ, `(H, W)` or `(C, H, W)`; nothing else is used.
        sigma_px: standard deviation of the Gaussian, in pixels.

    Returns:
        float32 `(C, H, W)`. Its sum over the free pixels is that of `before`, except for what the
        Gaussian carries across their border.
    """
    residual = np.where(free, before - after, np.float32(0))
    smooth: FloatArray = gaussian_filter(residual, (0.0, sigma_px, sigma_px), mode="reflect")
    return after + smooth
