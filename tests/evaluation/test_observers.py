"""Observers against closed forms, and against other ways to compute the same figure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from ratcli.errors import MeasurementError
from ratcli.evaluation.observers import (
    Detectability,
    channel_outputs,
    difference_of_gaussians,
    hotelling,
    laguerre_gauss,
)

SIDE = 48


def gaussian_signal(height: float, width_px: float, side: int = SIDE) -> np.ndarray:
    axis = np.arange(side) - (side - 1) / 2
    squared = axis[:, None] ** 2 + axis[None, :] ** 2
    return height * np.exp(-squared / (2 * width_px**2))


def white(count: int, seed: int, sd: float = 20.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sd, (count, 1, SIDE, SIDE))


def coloured(count: int, seed: int, width_px: float) -> np.ndarray:
    """White noise smoothed by a Gaussian, which wraps around as the closed form assumes."""
    return gaussian_filter(white(count, seed), (0, 0, width_px, width_px), mode="wrap")


def measured(signal: np.ndarray, noise: np.ndarray, channels: np.ndarray) -> Detectability:
    absent, present = np.split(noise, 2)
    return hotelling(channel_outputs(present + signal, channels), channel_outputs(absent, channels))


def squared_by_hand(present: np.ndarray, absent: np.ndarray) -> float:
    """Hotelling's d'² over all samples, by other means than those of the package."""
    samples = [outputs.reshape(-1, outputs.shape[-1]) for outputs in (present, absent)]
    covariance = (np.cov(samples[0].T) + np.cov(samples[1].T)) / 2
    apart = samples[0].mean(0) - samples[1].mean(0)
    return float(apart @ np.linalg.inv(covariance) @ apart)


def test_d_prime_of_a_gaussian_in_white_noise_is_its_closed_form() -> None:
    # d' = c s sqrt(pi) / sd for a signal c exp(-r²/2s²), which is the first channel itself.
    height, width, sd = 10.0, 3.0, 20.0
    closed = height * width * math.sqrt(math.pi) / sd
    channels = laguerre_gauss(SIDE, width * math.sqrt(2 * math.pi))
    found = measured(gaussian_signal(height, width), white(8000, 1, sd), channels)
    # Of 4000 pairs, the standard error is 1.1 %.
    assert found.d_prime == pytest.approx(closed, rel=0.03)
    assert found.low < closed < found.high
    assert found.auc == pytest.approx(norm.cdf(closed / math.sqrt(2)), rel=0.01)


def test_d_prime_of_a_gaussian_in_coloured_noise_is_its_closed_form() -> None:
    # Undoing a smoothing by h narrows the signal to s² - h²: d'² = pi c² s⁴ / (sd² (s² - h²)).
    height, width, smooth, sd = 4.0, 3.0, 1.5, 20.0
    closed = math.sqrt(math.pi / (width**2 - smooth**2)) * height * width**2 / sd
    noise, channels = coloured(8000, 2, smooth), laguerre_gauss(SIDE, 6.5)
    found = measured(gaussian_signal(height, width), noise, channels)
    assert found.d_prime == pytest.approx(closed, rel=0.03)


@pytest.mark.parametrize(
    "channels", [laguerre_gauss(SIDE, 7.0), difference_of_gaussians(SIDE)], ids=["LG", "DOG"]
)
def test_d_prime_is_that_of_the_known_covariance(channels: np.ndarray) -> None:
    smooth = 1.0
    signal, noise = gaussian_signal(3.0, 3.0), coloured(6000, 3, smooth)
    # The covariance of a channel pair is the product of the channels as smoothed.
    seen = gaussian_filter(channels, (0, smooth, smooth), mode="wrap").reshape(len(channels), -1)
    covariance = 20.0**2 * seen @ seen.T
    response = channels.reshape(len(channels), -1) @ signal.ravel()
    known = math.sqrt(response @ np.linalg.solve(covariance, response))
    assert measured(signal, noise, channels).d_prime == pytest.approx(known, rel=0.03)


def test_a_gaussian_filter_does_not_raise_the_d_prime_of_a_prewhitening_observer() -> None:
    signal, noise = gaussian_signal(10.0, 2.0), white(6000, 4)
    ideal = math.sqrt((signal**2).sum()) / 20.0
    for width in (0.7, 1.5, 3.0):
        smooth = (0, 0, width, width)
        filtered = gaussian_filter(signal, width, mode="wrap")
        rest = gaussian_filter(noise, smooth, mode="wrap")
        found = measured(filtered, rest, laguerre_gauss(SIDE, 5.0))
        # It cannot: an invertible filter changes nothing for the ideal observer.
        assert found.low <= ideal
        assert found.d_prime < 1.03 * ideal
        assert rest.std() < 0.5 * noise.std()  # although the noise falls by half or more


def test_few_repeats_scatter_around_the_true_d_prime() -> None:
    rng, squares = np.random.default_rng(5), []
    for _ in range(200):
        present, absent = rng.standard_normal((2, 10, 4, 5))
        present[:, 0, 0] += 1.5
        squares.append(hotelling(present, absent, places=[0]).d_prime ** 2)
    # The plain estimate would be 2.25 x 1.09 + 1. Its spread over 200 experiments: 0.09.
    assert np.mean(squares) == pytest.approx(2.25, abs=0.25)


def test_the_interval_is_about_that_of_a_bootstrap_of_many_repeats() -> None:
    rng = np.random.default_rng(6)
    present, absent = rng.standard_normal((2, 250, 1, 4))
    present[..., 1] += 1.2
    found = hotelling(present, absent)
    drawn = rng.integers(250, size=(2, 800, 250))
    squares = [squared_by_hand(present[one], absent[two]) for one, two in zip(*drawn, strict=True)]
    # Each draw raises d'² by about what sampling raised it: twice the bias is taken off.
    low, high = np.sqrt(np.quantile(squares, (0.025, 0.975)) - 2 * 4 * 2 / 250)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05)


@pytest.mark.parametrize("d_prime", [0.7, 2.5])
def test_nineteen_of_twenty_intervals_of_ten_repeats_hold_the_true_d_prime(d_prime: float) -> None:
    rng, held = np.random.default_rng(9), 0
    for _ in range(400):
        present, absent = rng.standard_normal((2, 10, 4, 5))
        present[:, 0, 0] += d_prime
        found = hotelling(present, absent, places=[0])
        held += found.low <= d_prime <= found.high
    # 380 are expected, with a standard deviation of 4.4.
    assert 366 <= held <= 394


def test_a_signal_that_nobody_could_miss_has_an_interval_too() -> None:
    present, absent = np.random.default_rng(10).standard_normal((2, 300, 1, 2))
    present[..., 0] += 12.0
    found = hotelling(present, absent)
    assert 11 < found.low < found.d_prime < found.high < 13


def test_other_signals_at_other_places_are_no_noise() -> None:
    rng = np.random.default_rng(7)
    present, absent = rng.standard_normal((2, 400, 2, 3))
    present[:, 0, 0] += 1.0
    alone = hotelling(present, absent, places=[0]).d_prime
    present[:, 1] += 50.0
    absent[:, 1] -= 30.0
    assert hotelling(present, absent, places=[0]).d_prime == pytest.approx(alone, rel=1e-9)


def test_internal_noise_as_strong_as_the_image_divides_d_prime_by_the_root_of_two() -> None:
    found = Detectability(2.0, 1.5, 2.5, 10).with_internal_noise(1.0)
    assert (found.d_prime, found.low) == pytest.approx((math.sqrt(2), 1.5 / math.sqrt(2)))


def test_repeats_needed_grow_with_the_square_of_the_interval() -> None:
    assert Detectability(2.0, 1.8, 2.2, 50).repeats_needed == 50
    assert Detectability(2.0, 1.6, 2.4, 50).repeats_needed == 200
    assert math.isnan(Detectability(0.0, 0.0, 0.4, 50).repeats_needed)


def test_a_signal_off_the_middle_has_channels_of_its_own() -> None:
    shifted = laguerre_gauss(65, 6.0, centre=(2.0, -3.0))
    assert shifted == pytest.approx(np.roll(laguerre_gauss(65, 6.0), (2, -3), (1, 2)), abs=1e-6)


def test_too_few_repeats_are_refused() -> None:
    outputs = np.random.default_rng(8).standard_normal((2, 5, 1, 6))
    with pytest.raises(MeasurementError, match="too few"):
        hotelling(*outputs)


def test_images_without_noise_are_refused() -> None:
    with pytest.raises(MeasurementError, match="no noise"):
        hotelling(np.ones((20, 2, 3)), np.zeros((20, 2, 3)))
