"""Inserts of known contrast planted into a CT slice, real or drawn.

Real slices are noisy, and so are their edges: a network that learns from them alone blurs an edge
that noise could have made. An insert has a sharp edge whatever the slice's noise, as those that a
phantom has, and noise that is added afterwards hides it or does not.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from ratcli.degrade.ct import blur_with_kernel
from ratcli.degrade.kernels import Kernel
from ratcli.scan import FloatArray

_BODY_HU = -300.0
_MOST = 6
_RADIUS_MM = (1.2, 14.0)
_BRIGHT = 0.6
_BRIGHT_HU = (15.0, 900.0)
_DARK_HU = (15.0, 250.0)
_SHELL_MM = (1.5, 4.0)


def planted_inserts(rng: np.random.Generator, hu: FloatArray, spacing_mm: float) -> FloatArray:
    """Return inserts to add to a slice: ellipses, rods and shells anywhere in the body.

    Args:
        rng: source of randomness.
        hu: the slice `(H, W)`, in HU.
        spacing_mm: pixel pitch.

    Returns:
        float32 `(H, W)` in HU, as a smooth or medium kernel shows them; 0 where there is none.
    """
    added = np.zeros(hu.shape, np.float32)
    rows, columns = np.nonzero(uniform_filter(hu, 9)[::4, ::4] > _BODY_HU)
    if not len(rows):
        return added
    for pick in rng.integers(0, len(rows), int(rng.integers(1, _MOST + 1))):
        at = (4.0 * rows[pick] + rng.uniform(0, 4), 4.0 * columns[pick] + rng.uniform(0, 4))
        cover = _cover(rng, hu.shape, at, spacing_mm)
        is_bright = rng.random() < _BRIGHT
        contrast = _log_uniform(rng, *_BRIGHT_HU) if is_bright else -_log_uniform(rng, *_DARK_HU)
        added += np.float32(contrast) * cover
    kernel = Kernel("gaussian", float(rng.uniform(0.26, 0.5)))
    return blur_with_kernel(torch.from_numpy(added), spacing_mm, kernel).numpy()


def _cover(
    rng: np.random.Generator, shape: tuple[int, ...], at: tuple[float, float], spacing_mm: float
) -> FloatArray:
    """Return `(H, W)`: the share of each pixel that an ellipse, or its shell, covers."""
    long = _log_uniform(rng, *_RADIUS_MM) / spacing_mm
    short = long * rng.uniform(0.15, 1) if rng.random() < 0.5 else long
    tilt = rng.uniform(0, math.pi)
    y, x = np.ogrid[: shape[0], : shape[1]]
    y, x = y - at[0], x - at[1]
    u = (x * math.cos(tilt) + y * math.sin(tilt)) / long
    v = (y * math.cos(tilt) - x * math.sin(tilt)) / short
    away = np.hypot(u, v)
    # First-order distance to the border, from the implicit function and its gradient.
    slope = np.hypot(u / long, v / short) / np.maximum(away, 1e-6)
    depth = (1 - away) / np.maximum(slope, 1e-6)
    cover = np.clip(depth + 0.5, 0, 1)
    if rng.random() < 0.2:
        wall = rng.uniform(*_SHELL_MM) / spacing_mm
        cover = cover - np.clip(depth - wall + 0.5, 0, 1)
    return cover.astype(np.float32)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))
