"""Planes in the network's units as 8-bit pictures, which is what SAM was made to see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ratcli.scan import FloatArray

# -160 to 240 HU in the network's units: the soft-tissue window of the published experiments.
_SOFT = (-0.5, 0.5)
# -1000 to 600 HU: lung, and bone without its brightest part.
_WIDE = (-2.6, 1.4)
# Only CT has values as low: PET and pathology start at 0.
_CT_BELOW = -0.1


def soft_picture(plane: FloatArray) -> npt.NDArray[np.uint8]:
    """Show a plane as the authors' pipeline does.

    Args:
        plane: float32 `(1 or 3, H, W)` in the network's units.

    Returns:
        uint8 `(H, W, 3)`: RGB as it is; CT in a soft-tissue window; PET from 0 to its 99.9th
        percentile with the square root's contrast.
    """
    if plane.shape[0] == 3:
        return _to_bytes(np.moveaxis(plane, 0, -1))
    gray = np.nan_to_num(plane[0], nan=-2.6, posinf=2.0, neginf=-2.6)
    return np.repeat(_to_bytes(_gray(gray, _SOFT))[..., None], 3, axis=-1)


def layered_picture(plane: FloatArray) -> npt.NDArray[np.uint8]:
    """Show a gray plane in three contrasts at once, so that lung and bone have edges too.

    Args:
        plane: float32 `(1 or 3, H, W)` in the network's units.

    Returns:
        uint8 `(H, W, 3)`: RGB as it is; gray as soft tissue, wide window and compressed range.
    """
    if plane.shape[0] == 3:
        return _to_bytes(np.moveaxis(plane, 0, -1))
    gray = np.nan_to_num(plane[0], nan=-2.6, posinf=2.0, neginf=-2.6)
    squeezed = np.arcsinh(np.clip(gray, -2.6, 2.0) / 0.25)
    low, high = np.arcsinh(-2.6 / 0.25), np.arcsinh(2.0 / 0.25)
    if gray.min() >= _CT_BELOW:
        low = 0.0
    layers = (_gray(gray, _SOFT), _gray(gray, _WIDE), (squeezed - low) / (high - low))
    return np.stack([_to_bytes(layer) for layer in layers], axis=-1)


def _gray(values: FloatArray, window: tuple[float, float]) -> FloatArray:
    """Map gray values `(H, W)` to about 0..1."""
    if values.min() < _CT_BELOW:
        low, high = window
        return (values - np.float32(low)) / np.float32(high - low)
    top = max(float(np.percentile(values, 99.9)), 1e-6)
    mapped: FloatArray = np.sqrt(np.clip(values / np.float32(top), 0, None))
    return mapped


def _to_bytes(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """0..1 to 0..255, clipped and rounded."""
    return np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
