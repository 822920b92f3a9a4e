"""Holes in tissue: which pixels are one, and what filters see in their place."""

from __future__ import annotations

import numpy as np
import pytest

from ratcli.holes import fill_holes, not_measured, seen_by_network
from ratcli.scan import BoolArray, FloatArray
from ratcli.tasks import get_task

AIR = -1024.0
SIDE = 64


def disc(row: float, column: float, radius: float, side: int = SIDE) -> BoolArray:
    rows, columns = np.mgrid[:side, :side]
    return np.asarray(np.hypot(rows - row, columns - column) < radius)


def ramp(channels: int = 1) -> FloatArray:
    """Tissue that rises by one unit for each row, and by a hundred for each channel."""
    rows = np.arange(SIDE, dtype=np.float32)[:, None].repeat(SIDE, 1)
    return np.stack([rows + 100 * channel for channel in range(channels)])


def test_a_plane_without_holes_is_returned_as_it_is() -> None:
    values = ramp()
    assert fill_holes(values, np.zeros((SIDE, SIDE), bool), AIR) is values


@pytest.mark.parametrize("channels", [1, 3])
def test_single_pixels_get_the_mean_around_them(channels: int) -> None:
    values, hidden = ramp(channels), np.zeros((SIDE, SIDE), bool)
    hidden[5:60:7, 5:60:7] = True
    spoiled = np.where(hidden, np.float32(np.nan), values)
    assert np.allclose(fill_holes(spoiled, hidden, AIR), values, atol=1e-3)


def test_a_large_hole_gets_the_nearest_tissue() -> None:
    values, hole = ramp(), disc(30, 30, 12)
    values[0, 45:] = 1000.0
    filled = fill_holes(np.where(hole, np.float32(np.inf), values), hole, AIR)[0]
    # The hole reaches from row 19 to row 41; its parts get the rows they are nearest to.
    assert filled[hole].min() > 17
    assert filled[hole].max() < 43
    assert filled[20, 30] < 22
    assert filled[40, 30] > 38
    assert np.array_equal(filled[~hole], values[0][~hole])


def test_what_reaches_the_frame_stays_the_surroundings() -> None:
    values, outside = ramp(), ~disc(31.5, 31.5, 31)
    hole = disc(20, 20, 3)
    filled = fill_holes(values, outside | hole, AIR)[0]
    assert (filled[outside] == AIR).all()
    assert np.abs(filled[hole] - values[0][hole]).max() < 2


@pytest.mark.parametrize("depth", [1, 3])
def test_a_thin_strip_along_the_frame_is_a_hole(depth: int) -> None:
    hidden = np.zeros((SIDE, SIDE), bool)
    hidden[:depth] = hidden[:, -depth:] = hidden[30, 0] = True
    filled = fill_holes(ramp(), hidden, AIR)
    assert filled.min() > -1


def test_a_plane_without_any_measurement_is_all_surroundings() -> None:
    values = np.full((1, 8, 9), np.nan, np.float32)
    assert (fill_holes(values, not_measured(values, np.zeros((8, 9), bool)), AIR) == AIR).all()


def test_a_channel_without_a_value_makes_the_pixel_one_without_a_measurement() -> None:
    values = np.zeros((3, 4, 4), np.float32)
    values[1, 2, 2], padding = np.nan, np.eye(4, dtype=bool)
    expected = padding.copy()
    expected[2, 2] = True
    assert np.array_equal(not_measured(values, padding), expected)


@pytest.mark.parametrize(
    ("task", "level", "metal"), [("ct-denoise", 40.0, 20000.0), ("pet-synthesis", 3.0, 2000.0)]
)
def test_the_network_sees_tissue_in_holes_and_nothing_outside(
    task: str, level: float, metal: float
) -> None:
    values = np.full((1, SIDE, SIDE), level, np.float32)
    hidden = ~disc(31.5, 31.5, 31)
    hidden[20, 20] = hidden[40, 40] = True
    values[0, 20, 21] = metal
    given = get_task(task)
    seen = given.denormalise(seen_by_network(given, values, hidden))[0]
    assert seen[40, 40] == pytest.approx(level, abs=0.01)
    assert level < seen[20, 20] < given.window[1]
    assert seen[0, 0] == given.window[0]
