from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ratcli.errors import MeasurementError
from ratcli.evaluation.spectrum import noise_power_spectrum, without_plane


def _white(shape: tuple[int, ...], sd: float = 20.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, sd, shape)


def test_the_integral_of_the_spectrum_is_the_variance() -> None:
    patches = _white((12, 32, 32)) + 40.0
    spectrum = noise_power_spectrum(patches, spacing_mm=0.7)
    assert spectrum.integral == pytest.approx((without_plane(patches) ** 2).mean(), rel=1e-12)
    # Three of 1024 degrees of freedom go to the plane fit.
    assert spectrum.integral == pytest.approx(spectrum.variance, rel=0.005)
    assert spectrum.integral == pytest.approx(patches.var(axis=(1, 2)).mean(), rel=0.005)


def test_three_degrees_of_freedom_of_each_patch_go_to_the_plane_fit() -> None:
    # A checkerboard has no mean and no slope, so that its 16 squares of 1 remain.
    rows, columns = np.indices((4, 4))
    board = np.where((rows + columns) % 2, 1.0, -1.0)
    spectrum = noise_power_spectrum(np.stack([board] * 5), spacing_mm=1.0)
    assert spectrum.variance == pytest.approx(16.0 / 13.0, rel=1e-12)


def test_a_slope_adds_to_the_raw_variance_alone() -> None:
    slope = 2.0 * np.arange(32) * np.ones((32, 1))
    spectrum = noise_power_spectrum(_white((12, 32, 32)) + slope, spacing_mm=0.7)
    assert spectrum.variance == pytest.approx(400.0, rel=0.04)
    assert spectrum.raw_variance == pytest.approx(400.0 + slope.var(), rel=0.04)


def test_white_noise_has_flat_power_of_variance_times_pixel_area() -> None:
    spectrum = noise_power_spectrum(_white((400, 16, 16), sd=10.0), spacing_mm=0.5)
    # The plane fit lowers the first rings; each other one averages 4800 values or more.
    assert spectrum.radial_power[2:] == pytest.approx(100.0 * 0.25, rel=0.06)


def test_filtered_noise_peaks_where_its_filter_does() -> None:
    axis = np.fft.fftfreq(256, 0.8)
    radius = np.hypot(axis[:, None], axis[None, :])
    shape = np.exp(-(((radius - 0.3) / 0.05) ** 2))
    field = np.fft.ifft2(np.fft.fft2(_white((6, 256, 256))) * shape).real
    patches = field.reshape(6, 4, 64, 4, 64).transpose(0, 1, 3, 2, 4).reshape(-1, 64, 64)
    spectrum = noise_power_spectrum(patches, 0.8)
    # One frequency step is 1 / (64 * 0.8) = 0.0195/mm.
    assert spectrum.peak_per_mm == pytest.approx(0.3, abs=0.02)
    assert spectrum.mean_per_mm == pytest.approx(0.3, abs=0.02)


def test_blurring_along_rows_shows_as_anisotropy() -> None:
    patches = gaussian_filter(_white((16, 32, 32)), (0.0, 0.0, 1.5))
    assert noise_power_spectrum(patches, 1.0).anisotropy < 0.3


def test_a_tilted_plane_adds_no_noise() -> None:
    rows, columns = np.indices((24, 24))
    tilted = np.stack([3.0 * rows - 2.0 * columns + offset for offset in range(5)])
    assert np.abs(without_plane(tilted.astype(float))).max() < 1e-9


def test_too_few_patches_are_refused() -> None:
    with pytest.raises(MeasurementError, match="3 uniform patches"):
        noise_power_spectrum(_white((3, 16, 16)), 1.0)


def test_constant_patches_are_refused() -> None:
    with pytest.raises(MeasurementError, match="constant"):
        noise_power_spectrum(np.full((6, 16, 16), 40.0), 1.0)


def test_patches_of_another_shape_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="patches must be"):
        noise_power_spectrum(np.zeros((6, 16, 8)), 1.0)
