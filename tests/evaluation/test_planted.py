"""Dose equivalence from readouts whose true answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ratcli.evaluation.planted import ALL_DISCS, PlantedDesign, PlantedResults, Readouts

DESIGN = PlantedDesign(
    (0.25,), (("half", 0.5), ("full", 1.0)), 60, diameters_mm=(4.0,), contrasts_hu=(5.0, 10.0)
)
PLACES, CHANNELS = 4, 3


def readouts(gain: float, seed: int = 0) -> Readouts:
    """A scanner with d' = contrast / 5 x root of the dose; restoring multiplies signals by a gain.

    Noise stays as it is: with full strength, d' grows by the gain.
    """
    rng = np.random.default_rng(seed)
    shape = (DESIGN.repeats, len(DESIGN.curve), 1, PLACES, CHANNELS)
    sd = 1 / np.sqrt(np.array(DESIGN.curve))[:, None, None, None]
    absent = rng.standard_normal(shape) * sd
    noise = rng.standard_normal(shape) * sd
    signal = np.zeros((2, 1, CHANNELS))
    signal[:, 0, 0] = np.array(DESIGN.contrasts_hu) / 5
    present = noise + signal
    at = DESIGN.curve.index(0.25)
    variance = np.broadcast_to(1 / np.array(DESIGN.curve), shape[:2])
    after = np.broadcast_to([0.5 * 4, 0.25 * 4], (DESIGN.repeats, 1, 2))
    restored = noise[:, [at]] + gain * signal
    return Readouts(absent, present, absent[:, [at]], restored, variance, after)


def test_d_prime_of_the_input_grows_with_the_root_of_the_dose() -> None:
    rows = PlantedResults(DESIGN, readouts(1.0)).rows()
    found = {row.dose: row.found for row in rows if row.image == "input" and row.contrast == 10}
    assert sorted(found) == [0.1, 0.25, 0.5, 1.0]
    for dose, each in found.items():
        assert each.low < 2 * math.sqrt(dose) < each.high


@pytest.mark.parametrize(("gain", "worth"), [(1.0, 0.25), (math.sqrt(2), 0.5), (0.8, 0.16)])
def test_a_restoration_is_worth_the_dose_at_which_the_input_detects_as_well(
    gain: float, worth: float
) -> None:
    rows = PlantedResults(DESIGN, readouts(gain)).equivalences()
    (whole,) = (row for row in rows if row.signal == ALL_DISCS and row.image == "restored full")
    assert whole.low <= whole.detects_as <= whole.high < 1.5 * whole.low
    # Noise is shared: what is left is that of the exponent, some 10 %.
    assert whole.detects_as == pytest.approx(worth, rel=0.15)
    assert f"at 0.25 of the dose detects discs as the input at {whole.detects_as:.2g}" in (
        whole.sentence
    )


def test_noise_is_compared_apart_from_detection() -> None:
    rows = PlantedResults(DESIGN, readouts(1.0)).equivalences()
    noise = {row.image: row.noise_as for row in rows}
    # A quarter of the variance is that of the full dose; of the blend, 9/16 remain.
    assert noise["restored full"] == pytest.approx(1.0)
    assert noise["restored half"] == pytest.approx(0.25 * 16 / 9)


def test_a_signal_that_restoring_removes_is_worth_nothing_known() -> None:
    rows = PlantedResults(DESIGN, readouts(0.0)).equivalences()
    full = [row for row in rows if row.image == "restored full"]
    assert all(math.isnan(row.low) or row.low < 0.05 for row in full)


def test_repeats_that_are_not_as_expected_are_refused() -> None:
    with pytest.raises(KeyError):
        Readouts.of([{"input_absent": [1.0]}])
