"""Drawn pictures and their regions."""

from __future__ import annotations

import numpy as np
import pytest

from research.sam.drawing import draw_gray, draw_labels, draw_stained


@pytest.mark.parametrize(("draw", "channels"), [(draw_gray, 1), (draw_stained, 3)])
def test_a_drawn_picture_comes_with_its_regions(draw, channels):
    plane = draw(np.random.default_rng(3), 64)
    assert plane.values.shape == (channels, 64, 64)
    assert plane.values.dtype == np.float32
    assert np.isfinite(plane.values).all()
    assert np.array_equal(np.unique(plane.labels), np.arange(plane.labels.max() + 1))


@pytest.mark.parametrize("draw", [draw_gray, draw_stained])
def test_a_seed_draws_the_same_plane(draw):
    one, same, other = (draw(np.random.default_rng(seed), 48) for seed in (5, 5, 6))
    assert np.array_equal(one.values, same.values)
    assert not np.array_equal(one.labels, other.labels)


def test_planes_of_many_seeds_have_several_regions():
    counts = [draw_labels(np.random.default_rng(seed), 64).max() + 1 for seed in range(20)]
    assert min(counts) >= 2
    assert max(counts) > 20


def test_regions_show_in_the_picture():
    plane = draw_gray(np.random.default_rng(8), 96)
    values, labels = plane.values[0], plane.labels
    means = np.bincount(labels.ravel(), values.ravel()) / np.bincount(labels.ravel())
    between = np.var(means[labels])
    assert between > 0.5 * np.var(values)
