from __future__ import annotations

import numpy as np
import pytest
from phantoms import drawn_phantom
from scipy.ndimage import gaussian_filter

from ratcli.evaluation.uniform_patches import uniform_patches


def test_patches_avoid_edges_and_each_other() -> None:
    plane = drawn_phantom()
    patches = uniform_patches(plane, 20, within=(-50, 50))
    taken = np.zeros(plane.shape, int)
    for box in patches:
        taken[box.slices] += 1
    clean = gaussian_filter(drawn_phantom(0.0), 0.1)
    assert len(patches) >= 10
    assert taken.max() == 1
    assert np.abs(clean[taken == 1]).max() < 20.0


def test_patches_show_the_noise_they_were_found_in() -> None:
    plane = drawn_phantom(8.0)
    patches = uniform_patches(plane, 20, within=(-50, 50))
    deviation = np.sqrt(np.mean([plane[box.slices].var(ddof=1) for box in patches]))
    # 4000 pixels or more: the sampling error is about 1 %.
    assert deviation == pytest.approx(8.0, rel=0.04)


def test_patches_stay_inside_a_mask() -> None:
    mask = np.zeros((200, 200), bool)
    mask[:, 100:] = True
    boxes = uniform_patches(drawn_phantom(), 16, mask=mask)
    assert boxes
    assert all(box.left >= 100 for box in boxes)


def test_structure_fainter_than_the_noise_is_no_uniform_patch() -> None:
    _, columns = np.indices((96, 96))
    # Stripes of 12 pixels and +-20: lost in noise of 40, plain in the clean plane.
    clean = 20.0 * np.sign(np.sin(np.pi * columns / 12.0))
    noisy = clean + np.random.default_rng(0).normal(0.0, 40.0, clean.shape)
    assert uniform_patches(noisy, 16)
    assert not uniform_patches(noisy, 16, clean=clean)
    assert uniform_patches(noisy, 16, clean=np.zeros_like(clean))
