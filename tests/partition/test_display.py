"""Pictures that SAM sees."""

from __future__ import annotations

import numpy as np
import pytest

from ratcli.partition.display import layered_picture, soft_picture


def hu(*values):
    return ((np.array(values, np.float32) - 40) / 400)[None, None]


def test_ct_is_shown_in_a_soft_tissue_window():
    picture = soft_picture(hu(-1024, -160, 40, 240, 3000))
    assert picture[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_pet_is_shown_from_zero_to_its_brightest():
    plane = np.linspace(0, 3, 100, dtype=np.float32).reshape(1, 10, 10)
    picture = soft_picture(plane)
    assert picture[0, 0, 0] == 0
    assert picture[9, 9, 0] == 255


def test_rgb_is_shown_as_it_is():
    plane = np.random.default_rng(0).integers(0, 256, (3, 4, 5)).astype(np.uint8)
    shown = soft_picture(plane.astype(np.float32) / 255)
    assert np.array_equal(shown, np.moveaxis(plane, 0, -1))


@pytest.mark.parametrize("show", [soft_picture, layered_picture])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -3.0])
def test_any_constant_plane_has_a_picture(show, value):
    picture = show(np.full((1, 3, 4), value, np.float32))
    assert picture.shape == (3, 4, 3)
    assert picture.dtype == np.uint8
    assert np.ptp(picture, axis=(0, 1)).max() == 0


def test_lung_and_air_differ_in_the_layered_picture_only():
    plane = hu(-1000, -800)
    assert np.ptp(soft_picture(plane)) == 0
    assert np.ptp(layered_picture(plane)[..., 1]) > 20
