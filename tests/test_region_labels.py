"""Regions: every pixel has one, numbered from 0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ratcli.regions import Regions
from ratcli.scan import Box


@given(arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_any_label_map_becomes_regions_numbered_from_zero(labels: np.ndarray) -> None:
    regions = Regions.from_labels(labels)
    assert set(np.unique(regions.labels)) == set(range(regions.count))
    assert regions.areas.sum() == labels.size
    same = labels.ravel()[:, None] == labels.ravel()[None, :]
    kept = regions.labels.ravel()[:, None] == regions.labels.ravel()[None, :]
    assert np.array_equal(same, kept)


def test_a_crop_keeps_the_numbers_of_the_plane() -> None:
    labels = np.arange(16, dtype=np.int32).reshape(4, 4)
    assert Regions(labels, 16).crop(Box(1, 2, 2, 2)).tolist() == [[6, 7], [10, 11]]


@pytest.mark.parametrize("shape", [(0, 3), (4,), (1, 2, 3)])
def test_maps_without_pixels_or_of_other_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="labels must be"):
        Regions.from_labels(np.zeros(shape, np.int32))
