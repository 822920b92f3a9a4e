from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from ratcli.evaluation.findings import LIMITS, ResidualCheck
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.residual import check_residual
from ratcli.evaluation.spread import robust_spread, spread_by_value

SIDE = 256
SPACING = 0.7
ORGAN = 3


def _anatomy() -> tuple[np.ndarray, np.ndarray]:
    """A body with a fat rim, two organs, bone and small structures, in HU; and its regions."""
    plane = np.full((SIDE, SIDE), -1000.0)
    labels = np.zeros((SIDE, SIDE), np.int32)
    rows, columns = np.indices(plane.shape)
    for label, (tall, wide, value) in enumerate([(92, 115, -90.0), (82, 105, 40.0)], start=1):
        inside = ((rows - 128) / tall) ** 2 + ((columns - 128) / wide) ** 2 < 1
        plane[inside], labels[inside] = value, label
    parts = [(108, 90, 31, 70), (128, 166, 26, 20), (174, 128, 13, 700), (102, 141, 8, 140)]
    for label, (row, column, radius, value) in enumerate(parts, start=ORGAN):
        inside = Disc(row, column, radius).mask(plane.shape)
        plane[inside], labels[inside] = value, label
    return gaussian_filter(plane, 0.8), labels


def _noise(seed: int, sd: float = 12.0) -> np.ndarray:
    """Correlated noise without low frequencies, stronger in the middle, as in CT."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), 0.7)
    field -= gaussian_filter(field, 4.0)
    rows, columns = np.indices(field.shape)
    return sd * field / field.std() * (1.4 - 0.8 * np.hypot(rows - 128, columns - 128) / SIDE)


CLEAN, LABELS = _anatomy()


def _check(before: np.ndarray, after: np.ndarray) -> ResidualCheck:
    return check_residual(before, after, LABELS, SPACING, LIMITS["HU"])


def _failed(check: ResidualCheck) -> set[str]:
    return {finding.name for finding in check.findings if not finding.passed}


@pytest.mark.parametrize("sd", [12.0, 25.0, 50.0])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_an_ideal_denoiser_raises_no_alarm(sd: float, seed: int) -> None:
    check = _check(CLEAN + _noise(seed, sd), CLEAN)
    assert check.passed
    assert check.places == ()
    assert check.verdict.startswith("The residual looks like noise")


def test_half_of_the_noise_left_in_raises_no_alarm() -> None:
    noise = _noise(1)
    assert _check(CLEAN + noise, CLEAN + 0.5 * noise).passed


def test_a_deleted_insert_of_four_millimetres_is_caught() -> None:
    insert = gaussian_filter(Disc(150, 160, 2.0 / SPACING).mask(CLEAN.shape) * 80.0, 0.8)
    check = _check(CLEAN + insert + _noise(1), CLEAN)
    assert "strongest spot" in _failed(check)
    place = check.places[0]
    assert (place.row, place.column) == pytest.approx((150, 160), abs=2)
    assert (place.kind, place.change) == ("spot", "removed")
    assert "1 removed" in check.verdict


def test_a_blur_is_caught() -> None:
    check = _check(CLEAN + _noise(1), gaussian_filter(CLEAN, 1.0))
    assert {"edge to flat ratio", "correlation with detail"} <= _failed(check)


def test_a_filter_that_blurs_edges_with_the_noise_is_caught() -> None:
    noisy = CLEAN + _noise(1)
    assert "edge to flat ratio" in _failed(_check(noisy, gaussian_filter(noisy, 1.2)))


def test_a_shift_of_an_organ_by_five_units_is_caught_by_its_bias_alone() -> None:
    check = _check(CLEAN + _noise(1), CLEAN + 5.0 * (LABELS == ORGAN))
    assert _failed(check) == {"region bias"}
    assert check.biases[ORGAN].bias == pytest.approx(5.0, abs=0.5)
    assert f"region {ORGAN} moved by +" in check.verdict


def test_an_invented_vessel_is_caught() -> None:
    rows, columns = np.indices(CLEAN.shape)
    course = np.abs((rows - 130) - 0.6 * (columns - 100)) < 1.3
    vessel = gaussian_filter((course & (columns > 100) & (columns < 130)) * 60.0, 0.6)
    check = _check(CLEAN + _noise(1), CLEAN + vessel)
    assert "strongest line" in _failed(check)
    assert check.places[0].change == "added"


def test_the_map_is_strong_where_something_is_missing() -> None:
    insert = gaussian_filter(Disc(150, 160, 3.0).mask(CLEAN.shape) * 120.0, 0.8)
    check = _check(CLEAN + insert + _noise(2), CLEAN)
    assert np.unravel_index(check.z_map.argmax(), CLEAN.shape) == pytest.approx((150, 160), abs=3)


def test_padding_and_the_border_show_no_places() -> None:
    padding = np.zeros(CLEAN.shape, bool)
    padding[:, :60] = True
    after = CLEAN.copy()
    after[100:140, 20:40] += 500.0
    check = check_residual(CLEAN + _noise(1), after, LABELS, SPACING, LIMITS["HU"], padding)
    assert check.places == ()


def test_an_output_equal_to_the_input_has_no_residual() -> None:
    noisy = CLEAN + _noise(1)
    check = _check(noisy, noisy)
    assert check.passed
    assert check.noise == pytest.approx(0.0, abs=1.0)


def test_bias_of_uptake_is_judged_as_a_share() -> None:
    plane = 2.0 + _noise(1, 0.1)
    after = np.full(plane.shape, 2.0)
    hot = LABELS == ORGAN
    small, large = (
        check_residual(plane, after * np.where(hot, share, 1.0), LABELS, 2.0, LIMITS["SUV"])
        for share in (1.02, 1.08)
    )
    assert "region bias" not in _failed(small)
    assert "region bias" in _failed(large)


def test_a_structure_hardly_raises_the_robust_spread() -> None:
    noise = _noise(3, 10.0)
    spoiled = noise + 400.0 * Disc(128, 128, 8.0).mask(noise.shape)
    everywhere = np.ones(noise.shape, bool)
    loud, quiet = (robust_spread(plane, everywhere)[128, 128] for plane in (spoiled, noise))
    assert loud < 1.5 * quiet


def test_the_robust_spread_of_normal_noise_is_its_standard_deviation() -> None:
    # Absolute values of a checkerboard are all 1: the median, too.
    rows, columns = np.indices((128, 128))
    board = np.where((rows + columns) % 2, 1.0, -1.0)
    everywhere = np.ones(board.shape, bool)
    expected = 1.0 / norm.ppf(0.75)
    assert robust_spread(board, everywhere) == pytest.approx(expected, rel=1e-5)
    assert spread_by_value(board, np.ones(board.shape), everywhere) == pytest.approx(
        expected, rel=1e-5
    )
    noise = np.random.default_rng(0).normal(0.0, 7.0, (256, 256))
    # Of 1024 pixels a tile tells the deviation to 4 %; the larger of neighbours is taken.
    found = robust_spread(noise, np.ones(noise.shape, bool))
    assert found.mean() == pytest.approx(7.0, rel=0.05)


def test_shapes_that_differ_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        check_residual(CLEAN, CLEAN[:-1], LABELS, SPACING, LIMITS["HU"])


def _uptake() -> tuple[np.ndarray, np.ndarray]:
    """A PET plane of 4 mm pixels: body 1, liver 3, a bladder of 30 SUV; and its regions."""
    plane = np.zeros((128, 128))
    labels = np.zeros(plane.shape, np.int32)
    discs = [(64, 64, 40, 1.0), (50, 54, 12, 3.0), (88, 64, 6, 30.0)]
    for label, (row, column, radius, value) in enumerate(discs, start=1):
        inside = Disc(row, column, radius).mask(plane.shape)
        plane[inside], labels[inside] = value, label
    return gaussian_filter(plane, 1.2), labels


def _counts(plane: np.ndarray, seed: int) -> np.ndarray:
    """Noise that grows with the value, correlated over some 6 mm."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=plane.shape), 1.0)
    return 0.2 * plane * field / field.std()


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_an_ideal_pet_denoiser_raises_no_alarm(seed: int) -> None:
    plane, labels = _uptake()
    noisy = plane + _counts(plane, seed)
    padding = plane < 0.2
    assert check_residual(noisy, plane, labels, 4.0, LIMITS["SUV"], padding).passed


def test_a_deleted_lesion_of_twelve_millimetres_is_caught() -> None:
    plane, labels = _uptake()
    lesion = gaussian_filter(Disc(60, 84, 1.5).mask(plane.shape) * 4.0, 1.2)
    noisy = plane + lesion + _counts(plane + lesion, 0)
    check = check_residual(noisy, plane, labels, 4.0, LIMITS["SUV"], plane < 0.2)
    assert "strongest spot" in _failed(check)
    assert (check.places[0].row, check.places[0].column) == pytest.approx((60, 84), abs=1)
