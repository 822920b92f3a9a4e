"""A Gaussian blur of planes, right for narrow Gaussians too."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_taps(sigma_px: float, like: Tensor) -> Tensor:
    """Return the integrals of a Gaussian over pixels, `(2 R + 1,)`; they sum to 1.

    Args:
        sigma_px: standard deviation.
        like: gives device and type.
    """
    reach = math.ceil(3.5 * sigma_px)
    at = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    edge = 1 / (sigma_px * math.sqrt(2))
    taps = torch.erf((at + 0.5) * edge) - torch.erf((at - 0.5) * edge)
    return taps / taps.sum()


def gaussian_blur(planes: Tensor, fwhm_px: float) -> Tensor:
    """Blur planes `(B, N, M)` with a Gaussian; its adjoint is itself (zero outside)."""
    if fwhm_px < 0.2:
        return planes
    taps = gaussian_taps(fwhm_px / math.sqrt(8 * math.log(2)), planes)
    reach = len(taps) // 2
    blurred = F.conv2d(planes[:, None], taps.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(blurred, taps.view(1, 1, 1, -1), padding=(0, reach))[:, 0]
