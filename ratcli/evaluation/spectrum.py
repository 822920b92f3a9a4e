"""Noise power spectra of uniform patches.

No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.errors import MeasurementError

RealArray = npt.NDArray[np.float64]

FEWEST_PATCHES = 4
# Power at the lowest frequency over the median of higher ones: white noise stays below 1.1,
# anatomy reaches 2 and more.
_FALLS = 1.5


@dataclass(frozen=True)
class Spectrum:
    """A noise power spectrum, two-dimensional and averaged over directions.

    Attributes:
        power: `(L, L)` in unit² mm² (HU² mm² for CT), zero frequency in the middle.
        axis_per_mm: `(L,)` frequencies of both axes in 1/mm.
        radial_per_mm: `(K,)` frequencies from 0 to the Nyquist frequency in 1/mm.
        radial_power: `(K,)` mean power on rings of those frequencies, in unit² mm².
        variance: of the patches about their plane fits, in unit², to which three
            degrees of freedom of each patch went.
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
    def patch_side_px(self) -> int:
        """Side of a patch in pixels."""
        return len(self.axis_per_mm)

    @property
    def integral(self) -> float:
        """Power integrated over both frequencies, in unit²; equals the variance."""
        step = float(self.axis_per_mm[1] - self.axis_per_mm[0])
        return float(self.power.sum()) * step * step

    @property
    def peak_per_mm(self) -> float:
        """Frequency in 1/mm at which the radial power is highest, two waves a patch or more.

        Slower waves than that are structure, of which the plane fit leaves a part.
        """
        return float(self.radial_per_mm[2 + int(np.argmax(self.radial_power[2:]))])

    @property
    def is_falling(self) -> bool:
        """Whether the power is highest at the lowest frequency of the peak, as of structure."""
        above = float(np.median(self.radial_power[3:]))
        return self.peak_per_mm == self.radial_per_mm[2] and (
            float(self.radial_power[2]) > _FALLS * above
        )

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

    Source: ICRU Report 87, eq. 4.8; a first-order surface is subtracted from each patch.
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
    """Return patches `(N, L, L)` minus the plane that fits each best by least squares."""
    side = patches.shape[-1]
    position = np.arange(side) - (side - 1) / 2.0
    norm = float((position**2).sum()) * side
    mean = patches.mean(axis=(1, 2), keepdims=True)
    down = np.einsum("nij,i->n", patches, position)[:, None, None] / norm
    across = np.einsum("nij,j->n", patches, position)[:, None, None] / norm
    flat: RealArray = patches - mean - down * position[:, None] - across * position[None, :]
    return flat


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
