"""Keeps the input's local mean in a restored plane.

A network that was trained on noisy planes answers with what is likely and shrinks rare values
towards common ones: the uptake of hot regions comes out too low. Fewer counts do not change the
mean, so the input is right once it is averaged over enough pixels. The smoothed residual is added
to the result. Little noise comes with it, because the Gaussian averages over many pixels. A network
that makes a finer grid shifts local colours likewise; there the result is averaged over each pixel
of the input first.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from ratcli.scan import BoolArray, FloatArray


def keep_mean(
    before: FloatArray, after: FloatArray, free: BoolArray, sigma_px: float
) -> FloatArray:
    """Return a restored plane with the local mean of the plane it was made from.

    Args:
        before: `(C, H, W)`.
        after: the restored plane in the same unit, `(C, s*H, s*W)`.
        free: true where the result may differ, `(H, W)` or `(C, H, W)`; nothing else is used.
        sigma_px: standard deviation of the Gaussian, in pixels of `before`.

    Returns:
        float32 `(C, s*H, s*W)`. Its sum over the free pixels is that of `before`, except for what
        the Gaussian carries across their border.
    """
    scale = after.shape[-1] // before.shape[-1]
    residual = np.where(free, before - _coarse(after, scale), np.float32(0))
    smooth: FloatArray = gaussian_filter(residual, (0.0, sigma_px, sigma_px), mode="reflect")
    return after + _fine(smooth, scale)


def _coarse(values: FloatArray, scale: int) -> FloatArray:
    """Average over the pixels of a grid that is coarser by a factor."""
    if scale == 1:
        return values
    channels, height, width = values.shape
    boxes = values.reshape(channels, height // scale, scale, width // scale, scale)
    means: FloatArray = boxes.mean((2, 4))  # (C,s*H,s*W) -> (C,H,W)
    return means


def _fine(values: FloatArray, scale: int) -> FloatArray:
    """Interpolate to a grid that is finer by a factor, bilinear."""
    if scale == 1:
        return values
    factors = (1, scale, scale)
    fine: FloatArray = zoom(values, factors, order=1, mode="nearest", grid_mode=True)
    return fine
