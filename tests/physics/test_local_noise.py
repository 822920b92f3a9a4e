from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from ratcli.errors import MeasurementError
from ratcli.physics.local_noise import MAD_TO_SD, noise_map, typical_noise


def _white(shape: tuple[int, ...], sd: float = 20.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, sd, shape)


def test_the_median_of_absolute_values_gives_the_standard_deviation_of_normal_noise() -> None:
    assert pytest.approx(1.0 / norm.ppf(0.75), rel=1e-6) == MAD_TO_SD


def test_the_noise_map_follows_a_step_in_noise() -> None:
    plane = _white((96, 96), sd=10.0)
    plane[:, 48:] *= 3.0
    levels = noise_map(plane)
    assert levels[10:-10, 10:38].mean() == pytest.approx(10.0, rel=0.03)
    assert levels[10:-10, 58:-10].mean() == pytest.approx(30.0, rel=0.03)


def test_three_degrees_of_freedom_of_a_neighbourhood_go_to_the_plane_fit() -> None:
    # Of 81 squares of a checkerboard 41 are alike: the mean is 1/81, and there is no slope.
    rows, columns = np.indices((32, 32))
    levels = noise_map(np.where((rows + columns) % 2, 1.0, -1.0))
    expected = np.sqrt((1.0 - 1.0 / 81.0**2) * 81.0 / 78.0)
    assert levels[8:-8, 8:-8] == pytest.approx(expected, rel=1e-4)


def test_the_noise_map_does_not_see_a_slope() -> None:
    rows, columns = np.indices((64, 64))
    levels = noise_map(40.0 * rows - 25.0 * columns)
    assert levels[8:-8, 8:-8].max() < 1e-3


def test_the_noise_of_a_plane_ignores_edges() -> None:
    plane = _white((128, 128), sd=15.0)
    plane[::32] += 800.0
    plane[:, :20] += 300.0
    # The mode of 81-pixel deviations lies within 2 % of the truth; edges only add a tail.
    assert typical_noise(plane) == pytest.approx(15.0, rel=0.05)


def test_the_noise_is_taken_within_a_range_of_values() -> None:
    plane = _white((128, 128), sd=15.0)
    plane[:, :90] = -1000.0 + 0.2 * plane[:, :90]
    assert typical_noise(plane, within=(-160, 240)) == pytest.approx(15.0, rel=0.05)


def test_a_noiseless_plane_has_no_noise() -> None:
    with pytest.raises(MeasurementError, match="only 0 pixels"):
        typical_noise(np.full((64, 64), 40.0))


def test_lower_deviations_than_the_least_do_not_count() -> None:
    with pytest.raises(MeasurementError, match="only 0 pixels"):
        typical_noise(_white((64, 64), sd=0.1), least=0.3)
