from __future__ import annotations

import math

import numpy as np
import pytest

from ratcli.errors import MeasurementError, UsageError
from ratcli.evaluation.activity import (
    PEAK_RADIUS_MM,
    Administration,
    bland_altman,
    recovery,
    sphere_weights,
    suv_factor,
    uptake,
)

FDG = Administration(weight_kg=70.0, dose_bq=350e6, half_life_s=6586.2, elapsed_s=3600.0)


def test_activity_becomes_uptake_with_decay_to_the_series_start() -> None:
    decayed = 350e6 * 0.5 ** (3600.0 / 6586.2)
    # A patient who keeps all of the activity, evenly, has SUV 1.
    assert decayed / 70_000.0 * suv_factor("BQML", FDG) == pytest.approx(1.0)


def test_decay_to_the_administration_needs_no_decay() -> None:
    at_injection = Administration(70.0, 350e6, 6586.2, 0.0)
    assert suv_factor("BQML", at_injection) == pytest.approx(70_000.0 / 350e6)


def test_values_in_grams_per_millilitre_are_uptake_already() -> None:
    assert suv_factor("GML") == 1.0


def test_counts_use_the_vendors_factors() -> None:
    assert suv_factor("CNTS", counts_to_suv=0.002) == 0.002
    expected = 7.5 * suv_factor("BQML", FDG)
    assert suv_factor("CNTS", FDG, counts_to_bqml=7.5) == pytest.approx(expected)


@pytest.mark.parametrize(("units", "facts"), [("CNTS", FDG), ("", FDG), ("BQML", None)])
def test_units_without_their_facts_are_refused(units: str, facts: Administration | None) -> None:
    with pytest.raises(UsageError):
        suv_factor(units, facts)


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


def test_agreement_has_bias_and_limits() -> None:
    truth = np.arange(1.0, 11.0)
    offsets = np.tile([0.1, 0.3], 5)
    result = bland_altman(list(truth + offsets), list(truth))
    assert result.bias == pytest.approx(0.2)
    assert result.high - result.bias == pytest.approx(1.96 * np.std(offsets, ddof=1))
    assert result.bias_low < 0.2 < result.bias_high


def test_two_pairs_show_no_agreement() -> None:
    with pytest.raises(MeasurementError, match="three or more"):
        bland_altman([1.0, 2.0], [1.0, 2.0])
