from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ratcli.errors import MeasurementError
from ratcli.evaluation.stain import (
    colour_difference,
    optical_density,
    sharpness,
    stain_shift,
)


def _slide(haematoxylin: float, eosin: float) -> np.ndarray:
    """Light through even layers of the two stains, on a few bright gaps."""
    texture = 1.0 + 0.2 * np.random.default_rng(0).normal(size=(40, 40)).clip(-2, 2)
    vectors = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    density = np.einsum("s,sc,hw->chw", np.array([haematoxylin, eosin]), vectors, texture)
    return ((256.0 * 10.0**-density - 1.0) / 255.0).clip(0, 1)


def test_white_has_no_density() -> None:
    assert np.abs(optical_density(np.ones((3, 4, 4), np.float32))).max() < 1e-9


def test_a_stain_that_grows_shows_in_its_own_figure() -> None:
    shift = stain_shift(_slide(0.55, 0.3), _slide(0.5, 0.3))
    assert shift.haematoxylin == pytest.approx(0.05, abs=0.002)
    assert shift.haematoxylin_share == pytest.approx(0.1, abs=0.005)
    assert shift.eosin == pytest.approx(0.0, abs=0.002)


def test_an_image_does_not_differ_from_itself() -> None:
    slide = _slide(0.5, 0.3)
    assert colour_difference(slide, slide).high == 0.0
    assert sharpness(slide, slide) == 1.0
    assert stain_shift(slide, slide).density == (0.0, 0.0, 0.0)


def test_blur_lowers_sharpness() -> None:
    slide = _slide(0.5, 0.3)
    blurred = gaussian_filter(slide, (0, 1.0, 1.0))
    assert sharpness(blurred, slide) < 0.5


def test_a_colour_cast_is_seen() -> None:
    slide = _slide(0.5, 0.3)
    cast = slide.copy()
    cast[0] -= 0.05
    assert colour_difference(cast, slide).mean > 1.0


def test_an_empty_slide_has_no_stain() -> None:
    white = np.ones((3, 16, 16), np.float32)
    with pytest.raises(MeasurementError, match="no tissue"):
        stain_shift(white, white)


def test_gray_is_a_mistake_of_the_caller() -> None:
    gray = np.zeros((1, 8, 8), np.float32)
    with pytest.raises(ValueError, match="must be"):
        colour_difference(gray, gray)
