"""Planes that are cut into panes, and panes that are joined again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_scan import MemoryScan

from ratcli.pipeline.cutting import FADE_PX, WHOLE_PIXELS, Blending, Cut
from ratcli.scan import FloatArray

INFO = MemoryScan(np.zeros((2, 1, 8, 8), np.float32)).info


def joined(cut: Cut, scale: int, restored: FloatArray) -> FloatArray:
    """Cut a restored plane as panes are, and join it again."""
    found = np.full_like(restored, np.nan)
    blending = Blending(cut, scale)
    for pane in cut.panes():
        read = slice(None) if pane.read is None else pane.read.scaled(scale).slices
        values = restored[(slice(None), *read)] if pane.read is not None else restored
        write = ... if pane.write is None else (slice(None), *pane.write.scaled(scale).slices)
        found[write] = blending.join(pane, values)
    return found


@settings(deadline=None, max_examples=50)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    side=st.integers(1, 10).map(lambda n: 16 * n),
    overlap=st.integers(0, 70),
    scale=st.sampled_from([1, 4]),
)
def test_panes_write_every_pixel_once_and_read_no_more_than_their_side(
    height: int, width: int, side: int, overlap: int, scale: int
) -> None:
    info = replace(INFO, height=height, width=width)
    cut = Cut.of(info, scale, side * scale, overlap)
    written = np.zeros((height, width), int)
    for pane in cut.panes():
        if pane.read is None or pane.write is None:
            written += 1
            continue
        written[pane.write.slices] += 1
        assert max(pane.read.height, pane.read.width) <= side
    assert (written == 1).all()


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize(("side", "overlap"), [(32, 0), (32, 4), (64, 100), (128, 64)])
def test_panes_that_agree_are_joined_bit_for_bit(scale: int, side: int, overlap: int) -> None:
    values = np.random.default_rng(1).normal(0, 1, (1, 150 * scale, 130 * scale))
    restored = values.astype(np.float32)
    cut = Cut.of(replace(INFO, height=150, width=130), scale, side * scale, overlap)
    assert len(cut.panes()) > 1
    assert np.array_equal(joined(cut, scale, restored), restored)


def test_panes_that_differ_fade_into_each_other_without_a_step() -> None:
    """Every pane has a value of its own; between them the plane rises or falls in small steps."""
    cut = Cut.of(replace(INFO, height=400, width=400), 1, 256, 64)
    blending, found = Blending(cut, 1), np.zeros((400, 400), np.float32)
    levels = np.random.default_rng(2).permutation(len(cut.panes()))
    for pane, level in zip(cut.panes(), levels, strict=True):
        assert pane.read is not None
        assert pane.write is not None
        values = np.full((1, pane.read.height, pane.read.width), level, np.float32)
        found[pane.write.slices] = blending.join(pane, values)[0]
    largest = len(levels) / (FADE_PX + 1)
    assert np.abs(np.diff(found, axis=0)).max() < 1.01 * largest
    assert np.abs(np.diff(found, axis=1)).max() < 1.01 * largest
    assert found[0, 0] == levels[0]
    assert found[100, 200] == levels[1]


def test_only_planes_that_are_too_large_are_cut() -> None:
    side = int(WHOLE_PIXELS**0.5)
    assert Cut.of(replace(INFO, height=side, width=side), 1).panes()[0].read is None
    assert len(Cut.of(replace(INFO, height=side, width=side + 1), 1).panes()) > 1
    assert len(Cut.of(replace(INFO, height=side // 4, width=side // 4 + 1), 4).panes()) > 1


def test_the_cut_is_recorded_only_where_a_plane_is_cut() -> None:
    assert Cut.of(INFO, 1, 64).recorded == ()
    assert Cut.of(replace(INFO, height=100, width=100), 1, 64, 8).recorded == ("pane=64,8",)
