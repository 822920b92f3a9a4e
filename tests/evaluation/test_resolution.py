from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import erf, i0e

from ratcli.errors import MeasurementError
from ratcli.evaluation.resolution import Transfer, disc_transfer, edge_transfer

SPACING = 0.7
BLUR_MM = 0.8
# A Gaussian of s has the transfer exp(-2 pi^2 s^2 f^2).
F50 = math.sqrt(math.log(2.0) / 2.0) / (math.pi * BLUR_MM)
F10 = math.sqrt(math.log(10.0) / 2.0) / (math.pi * BLUR_MM)


def _blurred_disc(centre: tuple[float, float], radius_mm: float, side: int = 96) -> np.ndarray:
    """A disc of 100 HU under a Gaussian, by the radial convolution integral."""
    rows, columns = np.indices((side, side))
    distance = np.hypot(rows - centre[0], columns - centre[1]) * SPACING
    samples = np.linspace(0.0, side * SPACING, 1500)
    source = np.linspace(0.0, radius_mm, 1500)
    square = BLUR_MM**2
    kernel = (source / square * np.exp(-((samples[:, None] - source) ** 2) / (2.0 * square))) * i0e(
        samples[:, None] * source / square
    )
    values = 100.0 * np.trapezoid(kernel, source, axis=1)
    return np.interp(distance, samples, values)


def _blurred_edge(slope: float, side: int = 64) -> np.ndarray:
    rows, columns = np.indices((side, side))
    distance = (columns - (side / 2.3 + slope * (rows - side / 2))) / math.hypot(1.0, slope)
    return 50.0 * (1.0 + erf(distance * SPACING / (BLUR_MM * math.sqrt(2.0))))


def test_a_blurred_disc_has_the_closed_form_transfer() -> None:
    transfer = disc_transfer(_blurred_disc((47.3, 48.8), 18.0), SPACING, (47.3, 48.8), 18 / SPACING)
    # Bins of 0.1 pixel and the window over the line spread leave about 1 %.
    assert transfer.f50_per_mm == pytest.approx(F50, rel=0.01)
    assert transfer.f10_per_mm == pytest.approx(F10, rel=0.01)
    assert transfer.contrast == pytest.approx(100.0, rel=0.01)


def test_the_whole_curve_follows_the_closed_form() -> None:
    transfer = disc_transfer(_blurred_disc((47.3, 48.8), 18.0), SPACING, (47.3, 48.8), 18 / SPACING)
    expected = np.exp(-2.0 * (math.pi * BLUR_MM * transfer.frequency_per_mm) ** 2)
    assert np.abs(transfer.transfer - expected).max() < 0.02


@pytest.mark.parametrize("slope", [0.08, -0.12])
@pytest.mark.parametrize("turned", [False, True])
def test_a_slanted_edge_has_the_closed_form_transfer(slope: float, turned: bool) -> None:
    plane = _blurred_edge(slope)
    transfer = edge_transfer(plane.T if turned else plane, SPACING)
    assert transfer.f50_per_mm == pytest.approx(F50, rel=0.01)
    assert transfer.f10_per_mm == pytest.approx(F10, rel=0.01)


def test_repeats_of_a_noisy_disc_are_averaged() -> None:
    random = np.random.default_rng(0)
    clean = _blurred_disc((47.3, 48.8), 18.0)
    stack = clean + random.normal(0.0, 10.0, (40, *clean.shape))
    transfer = disc_transfer(stack, SPACING, (47.3, 48.8), 18 / SPACING)
    assert transfer.f50_per_mm == pytest.approx(F50, rel=0.05)


def test_a_dark_disc_measures_as_a_bright_one() -> None:
    clean = _blurred_disc((47.3, 48.8), 18.0)
    dark = disc_transfer(-clean, SPACING, (47.3, 48.8), 18 / SPACING)
    bright = disc_transfer(clean, SPACING, (47.3, 48.8), 18 / SPACING)
    assert dark.f50_per_mm == pytest.approx(bright.f50_per_mm)
    assert dark.contrast == pytest.approx(-bright.contrast)


def test_no_contrast_is_refused() -> None:
    plane = np.random.default_rng(0).normal(0.0, 10.0, (96, 96))
    with pytest.raises(MeasurementError, match="lost in its noise"):
        disc_transfer(plane, SPACING, (48.0, 48.0), 25.0)


def test_a_disc_beyond_the_plane_is_refused() -> None:
    with pytest.raises(MeasurementError, match="does not fit"):
        disc_transfer(np.zeros((96, 96)), SPACING, (10.0, 48.0), 25.0)


def test_an_edge_along_the_grid_is_refused() -> None:
    plane = np.zeros((40, 40))
    plane[:, 20:] = 100.0
    with pytest.raises(MeasurementError, match=r"0\.1 pixel steps"):
        edge_transfer(plane, SPACING)


def test_a_transfer_that_never_falls_has_no_crossing() -> None:
    flat = Transfer(np.linspace(0, 1, 5), np.ones(5), 1.0, 0.0)
    assert math.isnan(flat.f50_per_mm)
