"""Inserts planted into CT slices."""

from __future__ import annotations

import numpy as np

from ratcli.degrade.anatomy.inserts import planted_inserts
from ratcli.scan import FloatArray


def body(size: int = 192, radius: int = 60) -> FloatArray:
    y, x = np.ogrid[:size, :size]
    inside = np.hypot(y - size / 2, x - size / 2) < radius
    return np.where(inside, 40, -1000).astype(np.float32)


def test_the_same_seed_plants_the_same_inserts() -> None:
    one, two, other = (
        planted_inserts(np.random.default_rng(seed), body(), 0.8) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_inserts_stand_in_the_body_alone() -> None:
    hu = body(radius=20)
    total = sum(np.abs(planted_inserts(np.random.default_rng(seed), hu, 0.8)) for seed in range(30))
    y, x = np.ogrid[:192, :192]
    # A centre lies in the body, and no radius is above 14 mm.
    beyond = np.hypot(y - 96, x - 96) > 20 + 4 + 14 / 0.8 + 5
    assert total[beyond].max() < 0.01 * total.max()


def test_a_slice_of_air_gets_none() -> None:
    air = np.full((64, 64), -1000, np.float32)
    assert not planted_inserts(np.random.default_rng(0), air, 0.8).any()


def test_both_signs_and_contrasts_from_faint_to_strong_occur() -> None:
    planes = [planted_inserts(np.random.default_rng(seed), body(), 0.8) for seed in range(60)]
    assert 500 < max(float(plane.max()) for plane in planes) < 6 * 900
    assert -6 * 250 < min(float(plane.min()) for plane in planes) < -100
    assert min(float(np.abs(plane).max()) for plane in planes) < 60
