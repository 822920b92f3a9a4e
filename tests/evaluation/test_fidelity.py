from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ratcli.errors import MeasurementError, UsageError
from ratcli.evaluation.fidelity import (
    RAT_PAPER_WINDOW,
    FidelityTally,
    error_maps,
    score,
    studio_luma,
)
from ratcli.evaluation.patients import summarise
from ratcli.evaluation.window import WINDOWS, Window, parse_window, windows_of

SOFT = WINDOWS["ct-soft"]


def _pair(shape: tuple[int, ...] = (48, 40), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    rows, columns = np.indices(shape[-2:])
    clean = np.broadcast_to(60.0 * np.sin(rows / 7.0) + 40.0 * np.cos(columns / 5.0), shape)
    noisy = clean + random.normal(0.0, 30.0, shape)
    return noisy.astype(np.float32), clean.astype(np.float32)


def test_psnr_and_ssim_equal_scikit_image_on_clipped_values() -> None:
    image, reference = _pair()
    clipped = [np.clip(plane.astype(np.float64), -160, 240) for plane in (image, reference)]
    expected_psnr = peak_signal_noise_ratio(clipped[1], clipped[0], data_range=400)
    expected_ssim = structural_similarity(
        clipped[0],
        clipped[1],
        data_range=400,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert score(image, reference, SOFT).psnr_db == pytest.approx(expected_psnr, abs=1e-9)
    assert score(image, reference, SOFT).ssim == pytest.approx(expected_ssim, abs=1e-9)


def test_a_constant_shift_has_the_closed_form_figures() -> None:
    reference = np.zeros((32, 32), np.float32)
    result = score(reference + 4.0, reference, SOFT)
    assert result.rmse == pytest.approx(4.0)
    assert result.psnr_db == pytest.approx(40.0)
    # Flat images: SSIM is the luminance term (2ab + C1) / (a² + b² + C1), C1 = (0.01 * 400)².
    assert result.ssim == pytest.approx(16.0 / (16.0 + 16.0))


def test_the_window_decides_the_figure() -> None:
    image, reference = _pair()
    full, soft = (score(image, reference, WINDOWS[name]).psnr_db for name in ("ct-full", "ct-soft"))
    assert full > soft + 15.0


def test_values_beyond_the_window_do_not_count() -> None:
    reference = np.full((16, 16), 1000.0, np.float32)
    assert score(reference + 500.0, reference, SOFT).rmse == 0.0


def test_equal_images_have_infinite_psnr() -> None:
    _, reference = _pair()
    result = score(reference, reference, SOFT)
    assert (result.psnr_db, result.ssim) == (math.inf, pytest.approx(1.0))


def test_a_mask_leaves_out_the_rest_even_where_it_is_not_finite() -> None:
    image, reference = _pair()
    mask = np.zeros(image.shape, bool)
    mask[10:30, 10:30] = True
    expected = float(np.sqrt(np.mean((image - reference)[mask].astype(np.float64) ** 2)))
    image[0, 0] = np.nan
    result = score(image, reference, Window("wide", -1e4, 1e4, "HU"), mask)
    assert result.rmse == pytest.approx(expected, rel=1e-6)
    assert result.pixels == 400


def test_values_that_are_not_finite_are_refused() -> None:
    image, reference = _pair()
    image[3, 3] = np.inf
    with pytest.raises(MeasurementError, match="1 pixels"):
        score(image, reference, SOFT)


def test_an_empty_mask_is_refused() -> None:
    image, reference = _pair()
    with pytest.raises(MeasurementError):
        score(image, reference, SOFT, np.zeros(image.shape, bool))


def test_shapes_that_differ_are_a_mistake_of_the_caller() -> None:
    image, reference = _pair()
    with pytest.raises(ValueError, match="shapes differ"):
        score(image[:-1], reference, SOFT)


def test_a_volume_pools_squared_errors_over_planes() -> None:
    pairs = [_pair(seed=1), _pair(seed=2)]
    squares = [score(image, reference, SOFT).rmse ** 2 for image, reference in pairs]
    tally = FidelityTally(SOFT)
    for image, reference in pairs:
        tally.add_maps(error_maps(image, reference, SOFT))
    result = tally.result()
    assert result.rmse == pytest.approx(math.sqrt(sum(squares) / 2))
    assert result.pixels == 2 * 48 * 40


def test_a_plane_smaller_than_the_ssim_window_has_no_ssim() -> None:
    image, reference = _pair((10, 30))
    result = score(image, reference, SOFT)
    assert math.isnan(result.ssim)
    assert math.isfinite(result.psnr_db)


def test_luma_and_rgb_agree_on_gray_pictures() -> None:
    gray = np.repeat(np.linspace(0.2, 0.8, 32 * 32).reshape(1, 32, 32), 3, axis=0)
    other = gray + 0.05
    figures = [score(other, gray, WINDOWS[name]).psnr_db for name in ("rgb", "rgb-y")]
    assert figures[0] == pytest.approx(figures[1])


def test_the_paper_protocol_adds_its_known_offset_to_gray_ct() -> None:
    # Values that are whole 8-bit levels, so that rounding changes nothing.
    image, reference = (np.round((plane + 160) / 400 * 255) for plane in _pair())
    eight_bit = Window("8", 0.0, 255.0, "levels")
    plain = score(image, reference, eight_bit).psnr_db
    luma = [studio_luma(plane[None], eight_bit) for plane in (image, reference)]
    paper = score(*luma, RAT_PAPER_WINDOW).psnr_db
    assert paper - plain == pytest.approx(20 * math.log10(255 / 219), abs=1e-3)


def test_the_bootstrap_interval_matches_the_normal_one_for_many_patients() -> None:
    values = np.random.default_rng(3).normal(10.0, 2.0, 400)
    result = summarise(list(values))
    half = 1.96 * values.std(ddof=1) / 20.0
    # 10 000 draws: the ends are known to about 2 % of the half width, beside skewness.
    assert result.high - result.mean == pytest.approx(half, rel=0.1)
    assert result.mean - result.low == pytest.approx(half, rel=0.1)


def test_one_patient_has_no_interval() -> None:
    result = summarise([30.0])
    assert result.mean == 30.0
    assert math.isnan(result.low)


def test_windows_are_parsed_from_numbers_and_names() -> None:
    assert parse_window("-100,300", "HU").data_range == 400.0
    assert parse_window("ct-lung", "HU") is WINDOWS["ct-lung"]


@pytest.mark.parametrize("text", ["300,-100", "soft", "1,2,3", "nan,3", ""])
def test_a_window_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a window"):
        parse_window(text, "HU")


def test_each_unit_has_its_default_windows() -> None:
    assert [window.name for window in windows_of("SUV")] == ["pet-full", "pet-tissue"]
    assert windows_of(None) == ()


def test_ssim_equals_its_formula_written_out() -> None:
    image, reference = (np.clip(plane.astype(np.float64), -160, 240) for plane in _pair())
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()

    def mean(plane: np.ndarray) -> np.ndarray:
        return convolve2d(plane, weights, mode="valid")

    one, two = mean(image), mean(reference)
    variances = mean(image**2) - one**2 + mean(reference**2) - two**2
    covariance = mean(image * reference) - one * two
    small, large = (0.01 * 400.0) ** 2, (0.03 * 400.0) ** 2
    expected = (
        (2 * one * two + small)
        * (2 * covariance + large)
        / ((one**2 + two**2 + small) * (variances + large))
    ).mean()
    figure = score(image.astype(np.float32), reference.astype(np.float32), SOFT).ssim
    # scikit-image's Gaussian is the same 11 x 11 window; float32 input leaves 1e-7.
    assert figure == pytest.approx(expected, abs=1e-6)
