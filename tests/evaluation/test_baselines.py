from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from ratcli.errors import UsageError
from ratcli.evaluation import baselines
from ratcli.evaluation.baselines import BASELINES, Baseline, bicubic, usual_baseline
from ratcli.evaluation.fidelity import score
from ratcli.evaluation.window import WINDOWS
from research.baseline_tuning import GRIDS, start, tune

SOFT = WINDOWS["ct-soft"]


def _discs(seed: int, sd: float = 25.0, side: int = 72) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    rows, columns = np.indices((side, side))
    clean = np.full((side, side), 40.0)
    for _ in range(5):
        row, column, radius, value = random.uniform((0, 0, 6, -80), (side, side, 16, 120))
        clean[np.hypot(rows - row, columns - column) < radius] = value
    noisy = clean + random.normal(0.0, sd, clean.shape)
    return noisy.astype(np.float32)[None], clean.astype(np.float32)[None]


@pytest.fixture(scope="module", params=["gaussian", "nl-means", "total-variation"])
def tuned(request: pytest.FixtureRequest) -> Baseline:
    return tune(request.param, [_discs(1), _discs(2)], SOFT)


def test_a_tuned_baseline_improves_a_scan_it_has_not_seen(tuned: Baseline) -> None:
    noisy, clean = _discs(9)
    assert score(tuned(noisy), clean, SOFT).rmse < 0.7 * score(noisy, clean, SOFT).rmse


def test_tuning_is_at_least_as_good_as_the_start(tuned: Baseline) -> None:
    untuned = Baseline(tuned.name, start(tuned.name), SOFT)
    pairs = [_discs(1), _discs(2)]
    errors = [
        sum(score(method(noisy), clean, SOFT).rmse ** 2 for noisy, clean in pairs)
        for method in (tuned, untuned)
    ]
    assert errors[0] <= errors[1]


def test_a_baseline_scales_with_the_noise(tuned: Baseline) -> None:
    noisy, _ = _discs(4)
    other = Baseline(tuned.name, tuned.settings, WINDOWS["ct-full"])
    # Ten times the contrast and the noise: the same picture, ten times as large.
    difference = other(noisy / 10.0) * 10.0 - other(noisy)
    # The noise level's histogram has bins of 2 %, so its mode moves a little with the scale.
    assert np.sqrt(np.mean(difference**2)) < 0.02 * 25.0


def test_a_noiseless_plane_comes_back_as_it_is() -> None:
    flat = np.full((1, 40, 40), 40.0, np.float32)
    assert np.array_equal(Baseline("nl-means", start("nl-means"), SOFT)(flat), flat)


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(UsageError, match="no baseline 'median'"):
        tune("median", [_discs(1)], SOFT)


def test_bm3d_tells_how_to_get_it_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "installed", lambda name: False)
    with pytest.raises(UsageError, match="not installed") as told:
        Baseline("bm3d", BASELINES["bm3d"].usual["HU"], SOFT)(_discs(1)[0])
    assert "pip install bm3d" in told.value.hint


def test_bm3d_gets_the_plane_in_units_of_its_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    module = types.ModuleType("bm3d")
    module.bm3d = lambda plane, strength: given.append((plane, strength)) or plane / 2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bm3d", module)
    monkeypatch.setattr(baselines, "installed", lambda name: True)
    noisy, _ = _discs(1)
    done = Baseline("bm3d", {"strength": 1.5}, SOFT)(noisy)
    sd = baselines.plane_noise(noisy[0], SOFT)
    assert given[0][1] == 1.5
    np.testing.assert_allclose(given[0][0] * sd, noisy[0], rtol=1e-5)
    np.testing.assert_allclose(done, noisy / 2, rtol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_the_usual_settings_set_what_the_grid_does(name: str) -> None:
    for settings in BASELINES[name].usual.values():
        assert set(settings) == set(GRIDS[name])


def _leg() -> tuple[np.ndarray, np.ndarray]:
    """A warm disc, `(1, 96, 96)` in SUV, in air that has a fiftieth of its noise."""
    rows, columns = np.indices((96, 96))
    warm = np.hypot(rows - 48, columns - 48) < 22
    clean = np.where(warm, 1.0, 0.0)
    noise = np.random.default_rng(3).normal(0.0, 1.0, clean.shape) * np.where(warm, 0.25, 0.005)
    return np.abs(clean + noise).astype(np.float32)[None], clean.astype(np.float32)[None]


@pytest.mark.parametrize("name", ["gaussian", "nl-means", "total-variation"])
def test_a_usual_baseline_denoises_pet_that_is_mostly_air(name: str) -> None:
    noisy, clean = _leg()
    middle = np.s_[0, 34:62, 34:62]
    done = usual_baseline(name, "SUV", None)(noisy)
    errors = [(image - clean)[middle].std() for image in (done, noisy)]
    assert errors[0] < 0.6 * errors[1]


def test_usual_settings_are_those_of_the_scans_unit() -> None:
    hounsfield, suv, activity = (
        usual_baseline("nl-means", unit, WINDOWS["pet-tissue"]) for unit in ("HU", "SUV", "Bq/ml")
    )
    assert hounsfield.settings == BASELINES["nl-means"].usual["HU"]
    assert suv.settings == activity.settings == BASELINES["nl-means"].usual["SUV"]
    assert [each.window.name for each in (hounsfield, suv, activity)] == [
        "ct-soft", "pet-warm", "pet-tissue",
    ]  # fmt: skip


def test_a_usual_baseline_of_an_unknown_unit_needs_a_window() -> None:
    with pytest.raises(UsageError, match="needs a window"):
        usual_baseline("gaussian", None, None)


def test_bicubic_keeps_a_slope_away_from_the_border() -> None:
    ramp = np.broadcast_to(np.arange(12.0, dtype=np.float32), (3, 10, 12))
    large = bicubic(ramp, 4)
    expected = (np.arange(48) + 0.5) / 4 - 0.5
    assert large.shape == (3, 40, 48)
    assert large[0, 5, 8:-8] == pytest.approx(expected[8:-8], abs=1e-5)


def test_bicubic_agrees_with_pillow_inside() -> None:
    image = pytest.importorskip("PIL.Image")
    plane = np.random.default_rng(0).random((16, 20)).astype(np.float32)
    expected = np.asarray(image.fromarray(plane).resize((80, 64), image.Resampling.BICUBIC))
    assert bicubic(plane, 4)[8:-8, 8:-8] == pytest.approx(expected[8:-8, 8:-8], abs=1e-5)
