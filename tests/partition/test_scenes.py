"""Scenes for training."""

from __future__ import annotations

import numpy as np
import pytest

from ratcli.partition.scenes import draw_gray, draw_labels, draw_stained


@pytest.mark.parametrize(("draw", "channels"), [(draw_gray, 1), (draw_stained, 3)])
def test_a_scene_is_a_plane_with_its_regions(draw, channels):
    scene = draw(np.random.default_rng(3), 64)
    assert scene.plane.shape == (channels, 64, 64)
    assert scene.plane.dtype == np.float32
    assert np.isfinite(scene.plane).all()
    assert np.array_equal(np.unique(scene.labels), np.arange(scene.labels.max() + 1))


@pytest.mark.parametrize("draw", [draw_gray, draw_stained])
def test_a_seed_draws_the_same_scene(draw):
    one, same, other = (draw(np.random.default_rng(seed), 48) for seed in (5, 5, 6))
    assert np.array_equal(one.plane, same.plane)
    assert not np.array_equal(one.labels, other.labels)


def test_scenes_of_many_seeds_have_several_regions():
    counts = [draw_labels(np.random.default_rng(seed), 64).max() + 1 for seed in range(20)]
    assert min(counts) >= 2
    assert max(counts) > 20


def test_regions_show_in_the_picture():
    scene = draw_gray(np.random.default_rng(8), 96)
    values, labels = scene.plane[0], scene.labels
    means = np.bincount(labels.ravel(), values.ravel()) / np.bincount(labels.ravel())
    between = np.var(means[labels])
    assert between > 0.5 * np.var(values)
