"""The noise that a CT slice already has: its standard deviation and its correlation length.

Both are measured in square patches of flat soft tissue. A fitted plane is subtracted from each
patch. Only the quarter with the lowest variance is used, since texture and edges raise the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import j0

from ratcli.physics.ct_dose import Kernel
from ratcli.physics.gridding import PITCH_PX
from ratcli.scan import FloatArray

_SIDE_PX = 14
_STEP_PX = 7
_SOFT_TISSUE_HU = (-160.0, 240.0)
_QUIETEST = 0.25
_FEWEST = 6
# A kernel fits a slice if the lag-one correlations of their noise differ by less than this.
_LIKE = 0.06

# Name, and the cutoffs in 1/mm from smooth to sharp.
_CUTOFFS: dict[str, npt.NDArray[np.float64]] = {
    "gaussian": np.linspace(0.22, 0.42, 11),
    "hann": np.linspace(0.5, 1.1, 7),
    "cosine": np.linspace(0.45, 0.9, 6),
    "ramp": np.linspace(0.4, 0.75, 5),
    "edge": np.linspace(0.7, 1.2, 6),
}


@dataclass(frozen=True)
class FlatPatches:
    """Patches of a slice that show little but noise.

    Attributes:
        corners: `(N, 2)`, row and column of each patch's first pixel.
        noise_hu: standard deviation in them.
        lag_one: correlation of neighbouring pixels, mean over rows and columns.
    """

    corners: npt.NDArray[np.intp]
    noise_hu: float
    lag_one: float

    def deviation(self, plane: FloatArray) -> float:
        """Return the standard deviation of another plane `(H, W)` in the same patches."""
        return _deviation(_residuals(plane, self.corners))

    def correlation(self, plane: FloatArray, other: FloatArray) -> float:
        """Return the correlation of the noise of two planes `(H, W)` in the patches."""
        mine, theirs = (_residuals(each, self.corners) for each in (plane, other))
        power = float((mine**2).mean() * (theirs**2).mean()) ** 0.5
        return float((mine * theirs).mean()) / power if power > 0 else 0.0


def find_flat_patches(hu: FloatArray) -> FlatPatches | None:
    """Return the flattest patches of soft tissue in a slice `(H, W)` in HU, or None if few."""
    corners = _in_soft_tissue(hu)
    if len(corners) < _FEWEST:
        return None
    residuals = _residuals(hu, corners)
    variance = residuals.var((1, 2))
    count = max(_FEWEST, round(_QUIETEST * len(corners)))
    quiet = np.argsort(variance)[:count]
    chosen = residuals[quiet]
    power = float((chosen**2).mean())
    beside = float((chosen[:, :, 1:] * chosen[:, :, :-1]).mean())
    below = float((chosen[:, 1:] * chosen[:, :-1]).mean())
    lag = (beside + below) / 2 / power if power > 0 else 0.0
    return FlatPatches(corners[quiet], _deviation(chosen), lag)


def kernels_like(lag_one: float, spacing_mm: float) -> list[Kernel]:
    """Return the kernels whose noise has about a given lag-one correlation; at least three."""
    pairs = [
        (abs(lag_one_of(kernel, round(spacing_mm, 2)) - lag_one), n, kernel)
        for n, kernel in enumerate(_kernels())
    ]
    ordered = sorted(pairs)
    return [kernel for n, (gap, _, kernel) in enumerate(ordered) if n < 3 or gap < _LIKE]


@lru_cache(maxsize=4096)
def lag_one_of(kernel: Kernel, spacing_mm: float) -> float:
    """Return the correlation of neighbouring pixels in the noise of a kernel.

    The noise power of filtered back-projection rises with the frequency, `P(f) ~ f A(f)^2`.
    """
    f = np.linspace(0, 0.5 / (PITCH_PX * spacing_mm), 400)
    gain = kernel.response(torch.from_numpy(f)).numpy()
    power = f * f * gain**2  # f of the spectrum, f of the ring
    return float((power * j0(2 * np.pi * f * spacing_mm)).sum() / power.sum())


def _kernels() -> Iterator[Kernel]:
    for name, cutoffs in _CUTOFFS.items():
        for cutoff in cutoffs:
            yield Kernel(name, float(cutoff))


def _in_soft_tissue(hu: FloatArray) -> npt.NDArray[np.intp]:
    """Return the corners of all patches on a grid that contain only soft tissue."""
    low, high = _SOFT_TISSUE_HU
    smooth = _box_mean(hu)
    inside = (smooth > low) & (smooth < high)
    patches = np.lib.stride_tricks.sliding_window_view(inside, (_SIDE_PX, _SIDE_PX))
    whole = patches[::_STEP_PX, ::_STEP_PX].all((2, 3))
    return np.argwhere(whole) * _STEP_PX


def _box_mean(hu: FloatArray) -> FloatArray:
    """Return means of 5 x 5 pixels, so that noise does not decide what is soft tissue."""
    from scipy.ndimage import uniform_filter

    mean: FloatArray = uniform_filter(hu, 5)
    return mean


def _residuals(plane: FloatArray, corners: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Cut patches `(N, L, L)` and subtract a fitted plane from each."""
    rows = corners[:, 0, None, None] + np.arange(_SIDE_PX)[:, None]
    columns = corners[:, 1, None, None] + np.arange(_SIDE_PX)[None, :]
    patches = plane[rows, columns].astype(np.float64)
    axis = np.arange(_SIDE_PX) - (_SIDE_PX - 1) / 2
    norm = (axis**2).sum() * _SIDE_PX
    patches -= patches.mean((1, 2), keepdims=True)
    down = (patches * axis[:, None]).sum((1, 2)) / norm
    across = (patches * axis[None, :]).sum((1, 2)) / norm
    slopes = down[:, None, None] * axis[:, None] + across[:, None, None] * axis[None, :]
    return patches - slopes


def _deviation(residuals: npt.NDArray[np.float64]) -> float:
    """Return the standard deviation; each fitted plane costs three degrees of freedom."""
    freedom = len(residuals) * (_SIDE_PX**2 - 3)
    return float(np.sqrt((residuals**2).sum() / freedom))
