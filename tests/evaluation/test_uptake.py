from __future__ import annotations

import math

import numpy as np
import pytest

from ratcli.errors import MeasurementError
from ratcli.evaluation.uptake import PEAK_RADIUS_MM, recovery, sphere_weights, uptake


def test_the_peak_sphere_holds_a_millilitre() -> None:
    assert 4.0 / 3.0 * math.pi * PEAK_RADIUS_MM**3 == pytest.approx(1000.0)
    weights = sphere_weights((1.0, 1.0, 1.0))
    assert weights.sum() == pytest.approx(1.0)
    # The middle voxel lies wholly inside, so its weight is one voxel of 1000 mm³.
    assert weights.max() == pytest.approx(1 / 1000.0, rel=0.01)


def test_peak_is_between_mean_and_maximum_and_flat_uptake_has_one_value() -> None:
    volume = np.ones((16, 24, 24))
    mask = np.zeros(volume.shape, bool)
    mask[5:11, 8:16, 8:16] = True
    flat = uptake(volume, mask, (3.27, 4.0, 4.0))
    assert (flat.mean, flat.highest) == (1.0, 1.0)
    assert flat.peak == pytest.approx(1.0)
    volume[8, 12, 12] = 9.0
    spiked = uptake(volume, mask, (3.27, 4.0, 4.0))
    assert spiked.highest == 9.0
    assert spiked.mean < spiked.peak < spiked.highest
    assert spiked.peak == pytest.approx(1.0 + 8.0 * sphere_weights((3.27, 4.0, 4.0)).max())


def test_a_volume_thinner_than_the_sphere_has_no_peak() -> None:
    volume = np.ones((2, 24, 24))
    assert math.isnan(uptake(volume, volume > 0, (3.0, 3.0, 3.0)).peak)


def test_an_empty_region_is_refused() -> None:
    with pytest.raises(MeasurementError, match="no voxel"):
        uptake(np.ones((4, 4, 4)), np.zeros((4, 4, 4), bool), (1.0, 1.0, 1.0))


def test_recovery_is_measured_over_true() -> None:
    volume = np.random.default_rng(0).uniform(1, 3, (12, 16, 16))
    mask = np.ones(volume.shape, bool)
    truth = uptake(volume, mask, (3.0, 3.0, 3.0))
    half = uptake(0.5 * volume, mask, (3.0, 3.0, 3.0))
    assert recovery(half, truth) == pytest.approx((0.5, 0.5, 0.5))
