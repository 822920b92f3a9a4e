"""Every partitioner that needs no weights."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratcli.errors import UsageError
from ratcli.partition import get_partitioner
from ratcli.partition.superpixel import otsu_thresholds

CLASSICAL = ("none", "superpixel", "superpixel-coarse")


def discs(height: int = 96, width: int = 128, noise: float = 0.0) -> np.ndarray:
    """Two discs of soft tissue in air, as a normalised CT plane `(1, H, W)`."""
    y, x = np.mgrid[:height, :width]
    plane = np.full((height, width), -2.6)
    plane[(y - 48) ** 2 + (x - 40) ** 2 < 30**2] = 0.0
    plane[(y - 48) ** 2 + (x - 100) ** 2 < 20**2] = 0.5
    plane += noise * np.random.default_rng(0).standard_normal(plane.shape)
    return plane[None].astype(np.float32)


@pytest.mark.parametrize("name", CLASSICAL)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    kind=st.sampled_from(["noise", "constant", "nan", "some nan", "infinite", "ramp", "huge"]),
)
@settings(max_examples=60, deadline=None)
def test_every_pixel_has_a_label_counted_from_zero(name, channels, height, width, kind):
    plane = np.random.default_rng(1).standard_normal((channels, height, width))
    plane = {
        "noise": plane,
        "constant": np.full_like(plane, 0.3),
        "nan": np.full_like(plane, np.nan),
        "some nan": np.where(plane > 0.5, np.nan, plane),
        "infinite": np.where(plane > 0.5, np.inf, -np.inf),
        "ramp": np.linspace(-3, 3, plane.size).reshape(plane.shape),
        "huge": plane * 1e30,
    }[kind].astype(np.float32)
    regions = get_partitioner(name).partition(plane)
    assert regions.labels.shape == (height, width)
    assert regions.labels.dtype == np.int32
    assert np.array_equal(np.unique(regions.labels), np.arange(regions.count))


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_same_plane_gives_the_same_labels(name):
    plane = discs(noise=0.1)
    first = get_partitioner(name).partition(plane).labels
    assert np.array_equal(first, get_partitioner(name).partition(plane.copy()).labels)


def test_the_plane_is_not_changed():
    plane = discs(noise=0.1)
    before = plane.copy()
    get_partitioner("superpixel").partition(plane)
    assert np.array_equal(plane, before)


def test_discs_are_regions_of_their_own_under_noise():
    labels = get_partitioner("superpixel").partition(discs(noise=0.05)).labels
    assert len({int(labels[48, 40]), int(labels[48, 100]), int(labels[2, 2])}) == 3
    assert (labels[38:58, 30:50] == labels[48, 40]).all()


def test_coarse_regions_keep_tissue_from_air_and_bone_only():
    plane = np.full((1, 96, 128), -2.6, np.float32)
    plane[0, 8:88, 8:120] = 0.0
    plane[0, 8:88, 60:120] = -0.35  # fat beside muscle
    plane[0, 30:60, 90:110] = 1.5
    fine, coarse = (
        get_partitioner(name).partition(plane).labels
        for name in ("superpixel", "superpixel-coarse")
    )
    fat, muscle, bone, air = (50, 80), (50, 30), (45, 100), (2, 2)
    assert fine[fat] != fine[muscle]
    assert coarse[fat] == coarse[muscle]
    assert len({int(coarse[place]) for place in (fat, bone, air)}) == 3


def test_no_region_is_smaller_than_the_least_size():
    plane = discs(noise=0.6)
    regions = get_partitioner("superpixel", smallest=50).partition(plane)
    assert regions.areas.min() >= 50


def test_metal_does_not_merge_tissues():
    plane = discs()
    plane[0, 90:94, 60:64] = 60.0
    labels = get_partitioner("superpixel").partition(plane).labels
    assert labels[48, 40] != labels[48, 100]


def test_each_region_is_connected():
    from skimage.measure import label

    labels = get_partitioner("superpixel").partition(discs(noise=0.6)).labels
    pieces = label(labels, background=-1, connectivity=2)
    assert pieces.max() == labels.max() + 1


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="1 or 3"):
        get_partitioner("superpixel").partition(np.zeros((2, 8, 8), np.float32))


def test_settings_tell_partitions_apart():
    plain = get_partitioner("superpixel").settings
    assert plain != get_partitioner("superpixel", sigma_gray=2.0).settings
    assert plain[0] == "superpixel"


def test_a_mistyped_name_gets_a_suggestion():
    with pytest.raises(UsageError) as caught:
        get_partitioner("superpixels")
    assert "superpixel" in caught.value.hint


def test_otsu_cuts_between_the_peaks():
    histogram = np.zeros(32, int)
    histogram[[2, 3, 12, 13, 25, 26]] = 10
    cuts = otsu_thresholds(histogram, 3)
    assert 3 < cuts[0] <= 12
    assert 13 < cuts[1] <= 25


def test_otsu_agrees_with_an_exhaustive_search():
    histogram = np.random.default_rng(3).integers(0, 50, 24)
    bins = np.arange(24)

    def between(cuts):
        edges = [0, *cuts, 24]
        return sum(
            (histogram[a:b] * bins[a:b]).sum() ** 2 / max(histogram[a:b].sum(), 1)
            for a, b in itertools.pairwise(edges)
        )

    best = max(
        ((i, j, k) for i in range(1, 22) for j in range(i + 1, 23) for k in range(j + 1, 24)),
        key=between,
    )
    assert between(otsu_thresholds(histogram, 4)) == pytest.approx(between(best))


def test_classical_partitions_do_not_load_torch():
    code = (
        "import sys, numpy as np; from ratcli.partition import get_partitioner as g;"
        "p = np.zeros((1, 9, 9), np.float32); g('superpixel').partition(p); g('none').partition(p);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
