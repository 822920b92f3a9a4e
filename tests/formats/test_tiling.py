"""Tiles that are put together from boxes."""

from __future__ import annotations

import numpy as np
import pytest

from ratcli.formats.tiling import TileAssembly, TileGrid
from ratcli.scan import Box

GRID = TileGrid(height=10, width=7, tile_rows=4, tile_columns=4)
PLANE = np.arange(10 * 7 * 2).reshape(10, 7, 2)


def cut(box: Box) -> np.ndarray:
    return PLANE[box.slices]


def test_a_grid_counts_its_tiles_and_clips_those_at_the_edge() -> None:
    assert (GRID.down, GRID.across) == (3, 2)
    assert GRID.area(2, 1) == Box(8, 4, 2, 3)


def test_a_box_touches_the_tiles_that_share_a_pixel_with_it() -> None:
    assert list(GRID.touched(Box(3, 3, 2, 1))) == [(0, 0), (1, 0)]
    assert list(GRID.touched(Box(4, 4, 4, 3))) == [(1, 1)]


@pytest.mark.parametrize("size", [1, 3, 4, 5, 10])
def test_boxes_of_any_size_give_each_tile_once_with_its_values(size: int) -> None:
    assembly, found = TileAssembly(GRID), {}
    for top in range(0, 10, size):
        for left in range(0, 7, size):
            box = Box(top, left, min(size, 10 - top), min(size, 7 - left))
            for tile in assembly.add(0, box, cut(box)):
                assert (tile.down, tile.across) not in found
                assert np.array_equal(tile.values, cut(tile.area))
                found[tile.down, tile.across] = tile.area
    assert len(found) == 6
    assert assembly.is_whole


def test_a_tile_waits_for_its_last_pixel() -> None:
    assembly = TileAssembly(TileGrid(4, 4, 4, 4))
    first, last = Box(0, 0, 4, 3), Box(0, 3, 4, 1)
    assert not list(assembly.add(0, first, PLANE[first.slices]))
    assert not assembly.is_whole
    (whole,) = assembly.add(0, last, PLANE[last.slices])
    assert np.array_equal(whole.values, PLANE[:4, :4])


def test_every_plane_must_come() -> None:
    assembly, box = TileAssembly(TileGrid(4, 4, 4, 4), planes=2), Box(0, 0, 4, 4)
    assert len(list(assembly.add(1, box, PLANE[:4, :4]))) == 1
    assert not assembly.is_whole


@pytest.mark.parametrize("again", [Box(0, 0, 4, 4), Box(2, 2, 1, 1), Box(4, 0, 1, 1)], ids=str)
def test_a_pixel_that_comes_twice_is_an_error(again: Box) -> None:
    assembly = TileAssembly(GRID)
    list(assembly.add(0, Box(0, 0, 5, 5), cut(Box(0, 0, 5, 5))))
    with pytest.raises(ValueError, match="a box of plane 0 was written twice"):
        list(assembly.add(0, again, cut(again)))


@pytest.mark.parametrize(
    ("plane", "box"), [(1, Box(0, 0, 4, 4)), (-1, Box(0, 0, 4, 4)), (0, Box(8, 0, 4, 4))], ids=str
)
def test_a_place_that_is_not_there_is_an_error(plane: int, box: Box) -> None:
    with pytest.raises(ValueError, match=f"plane {plane} has no box"):
        list(TileAssembly(GRID).add(plane, box, PLANE[:4, :4]))


def test_values_of_another_size_than_the_box_are_an_error() -> None:
    with pytest.raises(ValueError, match="do not fill the box"):
        list(TileAssembly(GRID).add(0, Box(0, 0, 4, 4), PLANE[:4, :3]))
