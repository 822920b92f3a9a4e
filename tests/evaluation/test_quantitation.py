from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ratcli.errors import MeasurementError
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.quantitation import (
    BiasTally,
    linearity,
    region_bias,
    uniformity,
)


def _noise(seed: int, sd: float = 20.0, blur: float = 0.7) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(80, 80)), blur)
    return field * sd / field.std()


def _organ() -> np.ndarray:
    return np.where(Disc(40, 40, 25).mask((80, 80)), 1, 0)


def test_a_shift_of_five_hounsfield_units_is_measured() -> None:
    labels = _organ()
    image = _noise(0) + 5.0 * (labels == 1)
    result = region_bias(image, np.zeros_like(image), labels)
    assert result[1].low < 5.0 < result[1].high
    assert result[1].differs
    assert result[1].pixels == int((labels == 1).sum())


def test_the_interval_covers_zero_as_often_as_it_says() -> None:
    labels = _organ()
    covered = [
        not region_bias(_noise(seed), np.zeros((80, 80)), labels)[1].differs for seed in range(120)
    ]
    # Binomial, 120 draws at 0.95: three standard deviations are 0.06.
    assert np.mean(covered) > 0.95 - 0.06


def test_bias_over_planes_is_weighted_by_pixels() -> None:
    tally = BiasTally()
    labels = np.zeros((20, 20), np.int32)
    half = labels.copy()
    half[10:] = -1
    zeros = np.zeros((20, 20))
    tally.add(zeros + 3.0, zeros, labels)
    tally.add(zeros + 9.0, zeros, half)
    assert tally.result()[0].bias == pytest.approx((3 * 400 + 9 * 200) / 600)


def test_a_region_of_few_pixels_has_no_interval() -> None:
    labels = np.full((20, 20), -1)
    labels[4:6, 4:6] = 3
    result = region_bias(np.ones((20, 20)), np.zeros((20, 20)), labels)[3]
    assert result.bias == 1.0
    assert math.isnan(result.low)
    assert not result.differs


def test_a_scale_error_shows_in_linearity() -> None:
    nominal = [-1000.0, -100.0, 0.0, 120.0, 340.0]
    result = linearity(nominal, [0.98 * value + 3.0 for value in nominal])
    assert (result.slope, result.intercept) == pytest.approx((0.98, 3.0))
    assert result.r_squared == pytest.approx(1.0)
    assert result.largest_deviation == pytest.approx(23.0)


def test_two_inserts_make_no_line() -> None:
    with pytest.raises(MeasurementError, match="three or more"):
        linearity([0.0, 100.0], [1.0, 99.0])


def test_cupping_shows_as_deviation_from_uniformity() -> None:
    rows, columns = np.indices((200, 200))
    body = Disc(100.0, 100.0, 90.0)
    plane = 8.0 * (np.hypot(rows - 100.0, columns - 100.0) / 90.0) ** 2
    result = uniformity(plane, body, edge_px=12.0)
    reach = 90.0 - 12.0 - 9.0
    assert result.deviation == pytest.approx(8.0 * (reach / 90.0) ** 2, abs=0.1)


def test_discs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MeasurementError, match="do not fit"):
        uniformity(np.zeros((40, 40)), Disc(20, 20, 18), edge_px=15.0)
