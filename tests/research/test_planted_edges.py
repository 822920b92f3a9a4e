from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ratcli.evaluation.given_regions import Disc
from research.planted_edges import f50_kept

SPACING_MM, BLUR_MM = 0.5, 0.6
# A pixel averages over its own width, which is as a blur of this standard deviation.
PIXEL_MM = SPACING_MM / math.sqrt(12.0)
CENTRE, RADIUS_PX = (63.3, 64.8), 50.0


def _planted() -> np.ndarray:
    """A disc of 100 HU under a Gaussian."""
    disc = Disc(*CENTRE, RADIUS_PX).coverage((128, 128))
    return gaussian_filter(100.0 * disc.astype(np.float64), BLUR_MM / SPACING_MM)


def test_a_blurring_method_keeps_the_closed_form_share_of_f50() -> None:
    planted, blur_mm = _planted(), 0.45
    rendered = gaussian_filter(planted, blur_mm / SPACING_MM)
    expected = math.hypot(BLUR_MM, PIXEL_MM) / math.hypot(BLUR_MM, blur_mm, PIXEL_MM)
    kept = f50_kept(rendered, planted, SPACING_MM, CENTRE, RADIUS_PX)
    assert kept == pytest.approx(expected, rel=0.01)
    assert f50_kept(planted / 2, planted, SPACING_MM, CENTRE, RADIUS_PX) == pytest.approx(1.0)


def test_a_lost_edge_keeps_nothing() -> None:
    planted = _planted()
    assert f50_kept(np.zeros_like(planted), planted, SPACING_MM, CENTRE, RADIUS_PX) == 0.0


def test_a_disc_covers_its_area_in_shares_of_pixels() -> None:
    covered = Disc(20.31, 22.17, 9.4).coverage((44, 40))
    assert covered.sum() == pytest.approx(np.pi * 9.4**2, rel=0.003)
    assert covered[20, 22] == 1.0
    assert covered[20, 35] == 0.0
    assert ((covered > 0) & (covered < 1)).any()
