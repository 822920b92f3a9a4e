"""The phantoms of the project's real scans, where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.results import Evaluation
from ratcli.formats import find_scans, open_scan

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
WATER = DATA / "ct" / "singles" / "rtutils_water_phantom_ct_1.dcm"
HEAD = DATA / "ct_paired" / "philips_head_phantom" / "bone_1mm"


def _evaluate(path: Path, *, phantom: bool) -> Evaluation:
    with open_scan(find_scans(path)[0]) as reader:
        return evaluate(Comparison(reader), EvaluationSettings(phantom=phantom, shown=0))


@pytest.fixture(scope="module")
def water() -> Evaluation:
    if not WATER.exists():
        pytest.skip("the real water phantom is not here")
    return _evaluate(WATER, phantom=True)


def test_the_spectrum_of_water_integrates_to_its_variance(water: Evaluation) -> None:
    spectrum = water.noise[0].spectrum
    assert spectrum is not None
    assert spectrum.patches >= 50
    assert spectrum.integral == pytest.approx(spectrum.variance, rel=0.02)
    assert spectrum.integral == pytest.approx(spectrum.raw_variance, rel=0.02)


def test_the_noise_of_water_is_that_of_a_standard_kernel(water: Evaluation) -> None:
    # The difference of the phantom's two slices has 3.5 HU a slice.
    assert water.noise[0].noise == pytest.approx(3.5, abs=0.3)
    spectrum = water.noise[0].spectrum
    assert spectrum is not None
    assert 0.2 < spectrum.peak_per_mm < 0.35


def test_water_is_uniform_and_near_zero(water: Evaluation) -> None:
    flat = water.phantoms[0].uniformity
    assert flat is not None
    # IEC 61223-3-5 allows 4 HU for both.
    assert abs(flat.centre) < 4.0
    assert abs(flat.deviation) < 4.0


def test_the_edge_of_the_water_phantom_has_a_resolution(water: Evaluation) -> None:
    edge = next(row.transfer for row in water.transfers if row.edge == "body")
    # GE's standard kernel: about 4 line pairs a cm at a half.
    assert 0.3 < edge.f50_per_mm < 0.55


def test_the_spectrum_of_the_head_phantoms_plastic_integrates_to_its_variance() -> None:
    if not HEAD.exists():
        pytest.skip("the real head phantom is not here")
    spectrum = _evaluate(HEAD, phantom=False).noise[0].spectrum
    assert spectrum is not None
    assert spectrum.integral == pytest.approx(spectrum.variance, rel=0.02)
    assert spectrum.peak_per_mm > 0.4
