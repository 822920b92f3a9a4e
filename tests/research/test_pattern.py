from __future__ import annotations

import numpy as np
import pytest

from research.pattern import fixed_pattern, grid_power


def _noise(sd: float = 1.0, side: int = 256) -> np.ndarray:
    return np.random.default_rng(2).normal(0.0, sd, (side, side))


def test_a_fixed_pattern_is_told_by_its_own_deviation() -> None:
    tile = np.arange(16.0).reshape(4, 4)
    # 70 x 66 pixels: what is left of a period at the border is left out.
    assert fixed_pattern(np.tile(tile, (18, 17))[:70, :66], 4) == pytest.approx(tile.std())


def test_noise_leaves_its_deviation_over_the_root_of_the_periods() -> None:
    found = [fixed_pattern(_noise(3.0)[i:, i:], 4) for i in range(4)]
    assert np.mean(found) == pytest.approx(3.0 / 63.5, rel=0.3)


def test_a_wave_of_the_period_has_the_closed_form_power() -> None:
    # Under a Hann window of N pixels a wave of amplitude a has (a/2)^2 (N/2)^4, noise of variance
    # s^2 has s^2 (3 N/8)^2.
    amplitude = 0.1
    wave = amplitude * np.cos(np.pi / 2 * np.arange(256) + 0.3)
    expected = 1.0 + (amplitude / 2) ** 2 * 32**4 / 24**2
    assert grid_power(_noise() + wave, 4) == pytest.approx(expected, rel=0.3)


def test_no_pattern_has_a_power_of_about_one_whatever_the_slope() -> None:
    noise = _noise()
    smooth = noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))
    assert grid_power(noise, 4) < 1.6
    assert grid_power(smooth + 0.2 * _noise()[::-1], 4) < 2.5


def test_a_pattern_of_another_period_is_not_taken_for_one() -> None:
    wave = 0.5 * np.cos(2 * np.pi / 6.5 * np.arange(256))
    assert grid_power(_noise() + wave, 4) < 1.6


def test_a_plane_without_a_period_is_a_callers_mistake() -> None:
    with pytest.raises(ValueError, match="no whole period"):
        fixed_pattern(np.zeros((3, 9)), 4)
    with pytest.raises(ValueError, match="no spectrum"):
        grid_power(np.zeros((40, 90)), 4)
