"""Noise: its power spectrum, its local level over a plane, and one figure for a plane.

No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d, minimum_filter, uniform_filter

from ratcli.errors import MeasurementError
from ratcli.scan import BoolArray, FloatArray

RealArray = npt.NDArray[np.float64]

FEWEST_PATCHES = 4
_FEWEST_PIXELS = 200
_EDGE_RATIO = 1.6


@dataclass(frozen=True)
class Spectrum:
    """A noise power spectrum, two-dimensional and averaged over directions.

    Attributes:
        power: `(L, L)` in unit² mm² (HU² mm² for CT), zero frequency in the middle.
        axis_per_mm: `(L,)` frequencies of both axes in 1/mm.
        radial_per_mm: `(K,)` frequencies from 0 to the Nyquist frequency in 1/mm.
        radial_power: `(K,)` mean power on rings of those frequencies, in unit² mm².
        variance: of the patches about their plane fits, in unit², which three degrees of freedom
            of each patch went to.
        raw_variance: of the patches about their means, slopes included, in unit².
        patches: number of patches averaged.
    """

    power: RealArray
    axis_per_mm: RealArray
    radial_per_mm: RealArray
    radial_power: RealArray
    variance: float
    raw_variance: float
    patches: int

    @property
    def side_px(self) -> int:
        """Side of a patch in pixels."""
        return len(self.axis_per_mm)

    @property
    def integral(self) -> float:
        """Power integrated over both frequencies, in unit²; equals the variance."""
        step = float(self.axis_per_mm[1] - self.axis_per_mm[0])
        return float(self.power.sum()) * step * step

    @property
    def peak_per_mm(self) -> float:
        """Frequency in 1/mm at which the radial power is highest."""
        return float(self.radial_per_mm[int(np.argmax(self.radial_power))])

    @property
    def mean_per_mm(self) -> float:
        """Mean frequency of the radial curve in 1/mm, from 0 to the Nyquist frequency.

        Source: AAPM Report 233, section on the noise power spectrum (f_avg of the radial NPS).
        """
        return float((self.radial_per_mm * self.radial_power).sum() / self.radial_power.sum())

    @property
    def mean_2d_per_mm(self) -> float:
        """Mean frequency in 1/mm weighted by the two-dimensional power inside Nyquist."""
        radius = _radius(self.axis_per_mm)
        inside = radius <= self.radial_per_mm[-1]
        return float((radius * self.power)[inside].sum() / self.power[inside].sum())

    @property
    def anisotropy(self) -> float:
        """Power along horizontal over that along vertical frequencies; 1 where isotropic."""
        rows, columns = np.meshgrid(self.axis_per_mm, self.axis_per_mm, indexing="ij")
        horizontal = np.abs(columns) > 2.0 * np.abs(rows)
        return float(self.power[horizontal].mean() / self.power[horizontal.T].mean())


def noise_power_spectrum(patches: npt.NDArray[np.floating], spacing_mm: float) -> Spectrum:
    """Estimate the noise power spectrum of uniform patches.

    Args:
        patches: `(N, L, L)` in HU, SUV or any unit, each over one uniform material.
        spacing_mm: pixel pitch, the same in both directions.

    Returns:
        Power in unit² mm² over frequency in 1/mm; its integral is the variance.

    Raises:
        MeasurementError: fewer than four patches, or patches that are constant.
        ValueError: patches are not `(N, L, L)`, or the spacing is not positive.

    Source: ICRU Report 87, eq. 4.8; a first-order surface is taken off each patch.
    """
    if patches.ndim != 3 or patches.shape[1] != patches.shape[2] or spacing_mm <= 0:
        raise ValueError(f"patches must be (N, L, L) with a pitch, not {patches.shape}")
    if len(patches) < FEWEST_PATCHES:
        raise MeasurementError(
            f"{len(patches)} uniform patches were found, a noise spectrum needs {FEWEST_PATCHES}",
            hint="Give regions over uniform material, or smaller patches.",
        )
    flat = without_plane(patches.astype(np.float64))
    side = flat.shape[1]
    variance = float((flat**2).sum()) / (len(flat) * (side * side - 3))
    raw_variance = float(patches.astype(np.float64).var(axis=(1, 2), ddof=1).mean())
    if variance == 0.0:
        raise MeasurementError("the patches are constant, so there is no noise to measure")
    transform = np.fft.fftshift(np.fft.fft2(flat), axes=(1, 2))
    power: RealArray = (np.abs(transform) ** 2).mean(axis=0) * (spacing_mm / side) ** 2
    axis = np.fft.fftshift(np.fft.fftfreq(side, spacing_mm))
    radial, radial_power = _radial_mean(power, axis)
    return Spectrum(power, axis, radial, radial_power, variance, raw_variance, len(patches))


def without_plane(patches: RealArray) -> RealArray:
    """Return patches `(N, L, L)` less the plane that fits each best by least squares."""
    side = patches.shape[-1]
    position = np.arange(side) - (side - 1) / 2.0
    norm = float((position**2).sum()) * side
    mean = patches.mean(axis=(1, 2), keepdims=True)
    down = np.einsum("nij,i->n", patches, position)[:, None, None] / norm
    across = np.einsum("nij,j->n", patches, position)[:, None, None] / norm
    flat: RealArray = patches - mean - down * position[:, None] - across * position[None, :]
    return flat


def noise_map(plane: npt.NDArray[np.floating], size: int = 9) -> FloatArray:
    """Return the local standard deviation about a local plane fit.

    Args:
        plane: `(H, W)` in any unit.
        size: side of the neighbourhood in pixels, odd.

    Returns:
        `(H, W)` in the plane's unit; at edges it holds their contrast, too.

    Raises:
        ValueError: the size is even or below 3.
    """
    if size < 3 or size % 2 == 0:
        raise ValueError(f"the neighbourhood must be odd and at least 3, not {size}")
    values = plane.astype(np.float64)
    values -= values.mean()
    position = np.arange(size) - size // 2
    spread = float((position**2).mean())
    mean = uniform_filter(values, size)
    variance = uniform_filter(values**2, size) - mean**2
    for axis in (0, 1):
        slope = correlate1d(uniform_filter(values, size, axes=(1 - axis,)), position / size, axis)
        variance -= slope**2 / spread
    pixels = size * size
    scaled: RealArray = np.sqrt(np.maximum(variance, 0.0) * pixels / (pixels - 3))
    return scaled.astype(np.float32)


def noise_level(
    plane: npt.NDArray[np.floating],
    within: tuple[float, float] | None = None,
    mask: BoolArray | None = None,
    size: int = 9,
) -> float:
    """Return one noise level for a plane: the most frequent local standard deviation.

    Args:
        plane: `(H, W)` in any unit.
        within: only where the local mean lies in this range (soft tissue, for a CT plane).
        mask: `(H, W)`, true where to look.
        size: side of the neighbourhood in pixels, odd.

    Raises:
        MeasurementError: fewer than 200 pixels are left to look at.

    Source: Christianson et al., AJR 205, 2015 (global noise level: the histogram's mode);
    leaving out edges is ours.
    """
    levels = noise_map(plane, size)
    # A noiseless area's rounding must not count as its noise.
    where = levels > 1e-6 * max(float(np.ptp(plane)), 1e-30)
    # Beside a flat place, an edge's deviation stands out; noise alone spreads less than this.
    where &= levels < _EDGE_RATIO * minimum_filter(levels, 2 * size - 1)
    if within is not None:
        mean = uniform_filter(plane.astype(np.float64), size)
        where &= (mean >= within[0]) & (mean <= within[1])
    if mask is not None:
        where &= mask
    if int(where.sum()) < _FEWEST_PIXELS:
        raise MeasurementError(
            f"only {int(where.sum())} pixels show noise, expected {_FEWEST_PIXELS} or more"
        )
    return _mode(np.log(levels[where].astype(np.float64)))


def _mode(logarithms: RealArray) -> float:
    """Return the value at the highest point of the smoothed histogram of logarithms."""
    counts, edges = np.histogram(logarithms, bins=np.arange(-24.0, 16.0, 0.02))
    smooth = np.convolve(counts, np.hanning(17), mode="same")
    best = int(np.argmax(smooth))
    before, top, after = smooth[best - 1 : best + 2]
    bend = before - 2.0 * top + after
    shift = 0.5 * (before - after) / bend if bend < 0.0 else 0.0  # parabola through the three
    return float(np.exp(edges[best] + (0.5 + shift) * (edges[1] - edges[0])))


def _radius(axis: RealArray) -> RealArray:
    """Return `(L, L)`: distance from zero frequency."""
    result: RealArray = np.hypot(axis[:, None], axis[None, :])
    return result


def _radial_mean(power: RealArray, axis: RealArray) -> tuple[RealArray, RealArray]:
    """Average power over rings one frequency step wide, from 0 to Nyquist."""
    step = axis[1] - axis[0]
    ring = np.round(_radius(axis) / step).astype(np.int64).ravel()
    rings = len(axis) // 2 + 1
    sums = np.bincount(ring, power.ravel())[:rings]
    return np.arange(rings) * step, sums / np.bincount(ring)[:rings]
