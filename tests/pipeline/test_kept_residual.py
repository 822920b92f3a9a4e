"""The share of the residual that a restored plane keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ratcli.network.registry import ResidualKept
from ratcli.pipeline.kept_residual import keep_residual
from ratcli.scan import BoolArray, FloatArray

EVERYWHERE = np.ones((96, 96), bool)
LEAST = ResidualKept(least=0.25, error=0.0, slope=0.0, along_px=0.0)
ERROR = replace(LEAST, least=0.0, error=2.0)
ALONG = replace(LEAST, least=0.0, along_px=4.0)
NOISE = 5.0


def noise(deviation: float, seed: int = 3) -> FloatArray:
    return np.random.default_rng(seed).normal(0, deviation, (1, 96, 96)).astype(np.float32)


def disc(height: float, blur: float, radius: float = 25.0) -> FloatArray:
    rows, columns = np.mgrid[:96, :96] - 47.5
    inside = (np.hypot(rows, columns) < radius).astype(np.float32)
    return gaussian_filter(height * inside, blur)[None]


def ring(width: float = 2.0) -> BoolArray:
    rows, columns = np.mgrid[:96, :96] - 47.5
    return abs(np.hypot(rows, columns) - 25) < width


def rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


@pytest.mark.parametrize("how", [LEAST, ERROR, ALONG])
def test_a_plane_that_did_not_change_is_the_same_bit_for_bit(how: ResidualKept) -> None:
    plane = disc(100, 1) + noise(NOISE)
    assert np.array_equal(keep_residual(plane, plane, EVERYWHERE, how), plane)


def test_the_least_share_comes_back_everywhere() -> None:
    before, after = noise(NOISE), noise(1, seed=8)
    assert np.allclose(
        keep_residual(before, after, EVERYWHERE, LEAST), 0.75 * after + 0.25 * before, atol=1e-5
    )


@pytest.mark.parametrize("noise_of", [0.5, 2.0, 20.0])
def test_input_and_output_are_weighed_by_their_errors(noise_of: float) -> None:
    """Where the network errs by 2, the result errs as the best mean of both does."""
    before, after = noise(noise_of), noise(2, seed=8)
    result = keep_residual(before, after, EVERYWHERE, ERROR)
    best = rms(before) * rms(after) / np.hypot(rms(before), rms(after))
    assert rms(result) == pytest.approx(best, rel=0.03)


def test_the_unit_of_the_error_may_be_another_than_the_planes() -> None:
    before, after = noise(2.0), noise(2, seed=8)
    scaled = keep_residual(before / 400, after / 400, EVERYWHERE, ERROR, unit=400)
    assert np.allclose(400 * scaled, keep_residual(before, after, EVERYWHERE, ERROR), atol=1e-3)


def test_more_comes_back_where_the_plane_is_steep() -> None:
    steep = replace(LEAST, least=0.0, slope=0.1)
    sharp = disc(100, 1.0)
    came_back = (keep_residual(sharp + noise(NOISE), sharp, EVERYWHERE, steep) - sharp)[0]
    # The steepest slope of a blurred step is its height over sqrt(2 pi) and both blurs.
    slope = 100 / np.sqrt(2 * np.pi * (1.0 + 1.0))
    assert rms(came_back[ring(0.6)]) == pytest.approx((0.1 * slope) ** 2 / NOISE, rel=0.3)
    assert rms(came_back[:10]) < 1e-3


def test_no_more_comes_back_than_was_taken() -> None:
    before, after = disc(100, 1.0) + noise(NOISE), disc(100, 1.6)
    everything = replace(ALONG, error=1000.0)
    assert np.allclose(keep_residual(before, after, EVERYWHERE, everything), before, atol=1e-3)


def test_what_comes_back_everywhere_does_not_come_back_twice_at_edges() -> None:
    sharp, blurred = disc(100, 1.0), disc(100, 1.6)
    half = replace(ALONG, least=0.5)
    result = keep_residual(sharp + noise(1.0), blurred, EVERYWHERE, half)
    assert rms((result - sharp)[0][ring()]) < 0.3 * rms((blurred - sharp)[0][ring()])


def test_an_edge_gets_back_what_it_lost_and_little_of_the_noise() -> None:
    sharp, blurred = disc(100, 1.0), disc(100, 1.6)
    result = keep_residual(sharp + noise(NOISE), blurred, EVERYWHERE, ALONG)
    wrong_before, wrong_after = ((one - sharp)[0][ring()] for one in (blurred, result))
    assert rms(wrong_after) < 0.5 * rms(wrong_before)


def test_what_an_edge_gets_back_falls_with_its_noise_as_the_mean_along_it() -> None:
    """Where the edge lost nothing, all that comes back is averaged noise."""
    sharp = disc(100, 1.0)
    came_back = (keep_residual(sharp + noise(NOISE), sharp, EVERYWHERE, ALONG) - sharp)[0]
    assert 0 < rms(came_back[ring(1.0)]) < 0.5 * NOISE
    assert not came_back[gaussian_filter(ring().astype(float), 3) == 0].any()


def test_an_edge_that_the_noise_hides_gets_nothing_back() -> None:
    faint = disc(15.0, 1.6)
    before = disc(15.0, 1.0) + noise(NOISE)
    assert np.array_equal(keep_residual(before, faint, EVERYWHERE, ALONG), faint)


def test_a_turned_plane_comes_back_turned() -> None:
    before, after = disc(100, 1.0) + noise(NOISE), disc(100, 1.6)
    how = replace(ALONG, least=0.03, error=1.3, slope=0.03)
    upright = keep_residual(before, after, EVERYWHERE, how)
    turned = keep_residual(
        np.rot90(before, axes=(1, 2)), np.rot90(after, axes=(1, 2)), EVERYWHERE, how
    )
    assert np.allclose(np.rot90(upright, axes=(1, 2)), turned, atol=1e-3)


@pytest.mark.parametrize("how", [ERROR, ALONG])
def test_pixels_that_may_not_change_tell_nothing(how: ResidualKept) -> None:
    free = EVERYWHERE.copy()
    free[:, :26] = False
    before, after = disc(100, 1.0) + noise(2.0), disc(100, 1.6) + noise(2, seed=8)
    strange = before.copy()
    strange[..., :26] = 5000.0
    results = [keep_residual(one, after, free, how) for one in (before, strange)]
    assert np.array_equal(*results)
    assert np.array_equal(results[0][..., :26], after[..., :26])


def test_beside_pixels_that_do_not_count_the_shares_are_as_elsewhere() -> None:
    free = EVERYWHERE.copy()
    free[:, :20] = False
    before, after = noise(2.0), noise(2, seed=8)
    near = np.s_[0, :, 20:24]
    whole = keep_residual(before, after, EVERYWHERE, ERROR)
    assert rms((keep_residual(before, after, free, ERROR) - whole)[near]) < 0.1 * rms(whole[near])


def test_an_edge_with_gaps_that_do_not_count_gets_back_as_much() -> None:
    free = np.random.default_rng(6).random((96, 96)) > 0.3
    sharp, blurred = disc(100, 1.0), disc(100, 1.6)
    given = [keep_residual(sharp, blurred, some, ALONG) - blurred for some in (EVERYWHERE, free)]
    there = ring() & free
    assert rms(given[1][0][there]) == pytest.approx(rms(given[0][0][there]), rel=0.1)


def test_a_strong_edge_does_not_hide_a_weaker_one_beside_it() -> None:
    weak, strong = np.zeros((2, 1, 96, 96), np.float32)
    weak[..., 40:] = 60
    strong[..., 54:] = 900
    left = np.s_[0, :, 36:44]
    wrong = []
    for plane in (weak, weak + strong):
        sharp, blurred = (gaussian_filter(plane, (0, 0, blur)) for blur in (1.0, 1.6))
        result = keep_residual(sharp + noise(NOISE), blurred, EVERYWHERE, ALONG)
        wrong.append(rms((result - sharp)[left]))
    assert wrong[1] < 1.15 * wrong[0]


def test_what_comes_back_grows_with_how_far_an_edge_stands_out() -> None:
    """A jump from nothing to all would be a seam."""
    given = []
    for height in np.linspace(20, 60, 9):
        sharp, blurred = disc(height, 1.0), disc(height, 1.6)
        came_back = keep_residual(sharp + noise(NOISE), blurred, EVERYWHERE, ALONG) - blurred
        given.append(rms(came_back[0][ring(1.0)]) / height)
    steps = np.diff(given)
    assert given[-1] > 3 * given[0]
    assert steps.max() < 0.4 * (given[-1] - given[0])


def test_an_edge_of_a_noisy_result_gets_back_what_it_lost() -> None:
    sharp = disc(60, 1.0)
    wrong = noise(4, seed=8)
    before, after = sharp + noise(NOISE), disc(60, 1.6) + gaussian_filter(wrong, (0, 1, 1))
    result = keep_residual(before, after, EVERYWHERE, ALONG)
    assert rms((result - sharp)[0][ring()]) < 0.85 * rms((after - sharp)[0][ring()])


def test_fine_lines_and_corners_stay_within_what_was_there() -> None:
    plane = np.zeros((1, 96, 96), np.float32)
    plane[0, 30:60, 30:60] = 200
    plane[0, 70, 10:80] = 200
    before = plane + noise(NOISE)
    result = keep_residual(before, gaussian_filter(plane, (0, 1, 1)), EVERYWHERE, ALONG)
    assert rms(result - plane) < rms(gaussian_filter(plane, (0, 1, 1)) - plane)
    assert result.min() > -60
    assert result.max() < 260
