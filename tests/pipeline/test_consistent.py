"""A finer plane agrees with the coarse one where that is clean, and only there."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from ratcli.pipeline.consistent import make_consistent
from ratcli.scan import FloatArray

LIMIT = 2 / 255


def coarse(seed: int = 0, side: int = 48) -> FloatArray:
    drawn = np.random.default_rng(seed).random((3, side, side))
    smooth = gaussian_filter(drawn, (0, 2, 2))
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


def averaged(finer: FloatArray) -> FloatArray:
    channels, height, width = finer.shape
    return finer.reshape(channels, height // 4, 4, width // 4, 4).mean((2, 4))


def finer_with(change: FloatArray) -> FloatArray:
    return zoom(coarse() + change, (1, 4, 4), order=1, mode="nearest", grid_mode=True)


def test_what_a_clean_plane_shows_comes_back() -> None:
    change = np.zeros((3, 48, 48), np.float32)
    change[0] = 1.5 / 255  # a shift of colour
    before, after = coarse(), finer_with(change)
    made = make_consistent(before, after, LIMIT)
    errors = [float(np.abs(averaged(plane) - before).mean()) for plane in (after, made)]
    assert errors[1] < 0.3 * errors[0]


def test_noise_that_the_network_removed_stays_removed() -> None:
    noise = np.random.default_rng(1).normal(0, 4 / 255, (3, 48, 48)).astype(np.float32)
    after = finer_with(np.zeros((3, 48, 48), np.float32))
    made = make_consistent(coarse() + noise, after, LIMIT)
    assert np.abs(made - after).max() < 1e-6


def test_a_clean_part_of_a_plane_is_treated_by_itself() -> None:
    noise = np.random.default_rng(1).normal(0, 6 / 255, (3, 48, 160)).astype(np.float32)
    noise[:, :, :110] = 0
    before = np.tile(coarse(), (1, 1, 4))[:, :, :160]
    after = zoom(before, (1, 4, 4), order=1, mode="nearest", grid_mode=True)
    after[0] += 1 / 255
    change = np.abs(make_consistent(before + noise, after, LIMIT) - after).mean((0, 1))
    assert change[:160].mean() > 1e-4
    assert change[-40:].max() < 1e-6
