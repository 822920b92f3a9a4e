"""One number for a region through a stack, and colours for the eye."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ratcli.partition.display import colour_numbers, draw_regions
from ratcli.partition.propagate import Propagator

LABELS = arrays(np.int32, (8, 9), elements=st.integers(0, 5))


def disc(x: int, radius: int = 6, size: int = 40) -> np.ndarray:
    y, columns = np.mgrid[:size, :size]
    return ((y - 20) ** 2 + (columns - x) ** 2 < radius**2).astype(np.int32)


def contiguous(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def test_a_moving_disc_keeps_its_number_whatever_its_label():
    follow = Propagator().follow
    numbers = []
    for step in range(6):
        labels = disc(10 + 2 * step)
        shown = follow(1 - labels if step % 2 else labels)
        numbers.append((int(shown[20, 10 + 2 * step]), int(shown[0, 0])))
    assert len(set(numbers)) == 1


def test_a_disc_that_jumps_gets_a_new_number():
    follow = Propagator().follow
    before, after = follow(disc(8)), follow(disc(30))
    assert after[20, 30] not in np.unique(before)
    assert after[0, 0] == before[0, 0]


def test_of_two_parts_the_larger_keeps_the_number():
    follow = Propagator(least=0.1).follow
    before = follow(disc(20, 10))
    split = disc(20, 10)
    split[:, 24:] *= 2
    after = follow(contiguous(split))
    assert after[20, 18] == before[20, 18]
    assert after[20, 27] not in np.unique(before)


@given(st.lists(LABELS, min_size=1, max_size=4))
def test_the_regions_of_a_plane_stay_what_they_were(stack):
    follow = Propagator().follow
    for labels in map(contiguous, stack):
        shown = follow(labels)
        pairs = np.unique(np.stack([labels.ravel(), shown.ravel()]), axis=1).shape[1]
        assert pairs == labels.max() + 1 == np.unique(shown).size


def test_planes_of_two_sizes_are_no_stack():
    follow = Propagator().follow
    follow(disc(10))
    with pytest.raises(ValueError, match="one stack"):
        follow(disc(10, size=30))


@given(LABELS)
def test_neighbours_have_different_colours(labels):
    colours = colour_numbers(labels)
    for a, b, c, d in (
        (labels[:, :-1], labels[:, 1:], colours[:, :-1], colours[:, 1:]),
        (labels[:-1], labels[1:], colours[:-1], colours[1:]),
        (labels[:-1, :-1], labels[1:, 1:], colours[:-1, :-1], colours[1:, 1:]),
    ):
        assert ((c != d) == (a != b))[a != b].all()
        assert (c == d)[a == b].all()


def test_borders_are_drawn_and_small_planes_enlarged():
    labels = np.repeat([0, 1], 10)[None].repeat(20, 0).astype(np.int32)
    drawn = draw_regions(np.full((20, 20, 3), 128, np.uint8), labels)
    assert drawn.shape == (400, 400, 3)
    assert (drawn[:, 199] == (255, 220, 0)).all()
    assert tuple(drawn[5, 5]) != tuple(drawn[5, 390])
