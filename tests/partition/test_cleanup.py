"""Painting masks and cleaning regions."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ratcli.partition.cleanup import Cleanup, drop_specks, paint, split_unconnected
from ratcli.regions import Regions

LABELS = arrays(
    np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)
)


def box(height, width, rows, columns):
    mask = np.zeros((height, width), bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def test_the_smaller_mask_lies_over_the_larger():
    small, large = box(8, 8, (2, 4), (2, 4)), box(8, 8, (1, 7), (1, 7))
    for order in ([small, large], [large, small]):
        labels = paint(order, 8, 8).labels
        assert labels[3, 3] != labels[5, 5]
        assert (labels[2:4, 2:4] == labels[3, 3]).all()


def test_what_no_mask_covers_is_one_region():
    labels = paint([box(8, 8, (0, 8), (3, 5))], 8, 8).labels
    assert labels[0, 0] == labels[7, 7]
    assert paint([], 4, 4).count == 1


def test_a_mask_that_is_covered_leaves_no_empty_region():
    masks = [box(8, 8, (0, 4), (0, 8)), box(8, 8, (0, 2), (0, 8)), box(8, 8, (2, 4), (0, 8))]
    regions = paint(masks, 8, 8)
    assert regions.count == 3
    assert regions.areas.min() > 0


def test_parts_that_do_not_touch_are_split():
    regions = Regions.from_labels(np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]]))
    assert split_unconnected(regions).count == 5


def test_specks_join_the_nearest_piece():
    labels = np.zeros((10, 20), int)
    labels[:, 10:] = 1
    labels[5, 16] = 2
    assert np.array_equal(
        drop_specks(Regions.from_labels(labels), 4).labels, (np.arange(20) >= 10) * np.ones((10, 1))
    )


def test_a_plane_of_specks_keeps_its_largest():
    labels = np.arange(16).reshape(4, 4)
    labels[0, 1] = labels[0, 0]
    assert drop_specks(Regions.from_labels(labels), 100).count == 1


@given(LABELS, st.booleans(), st.integers(0, 9))
def test_clean_up_leaves_every_pixel_in_a_region(labels, split, specks):
    regions = Cleanup(split, specks).apply(Regions.from_labels(labels))
    assert np.array_equal(np.unique(regions.labels), np.arange(regions.count))


@given(LABELS)
def test_no_clean_up_is_the_default(labels):
    regions = Regions.from_labels(labels)
    assert Cleanup().apply(regions) is regions
