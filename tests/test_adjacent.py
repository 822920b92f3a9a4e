"""Which planes are neighbours: by position, never across gaps, phases or turns."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ratcli.adjacent import adjacent_planes


def numbers(positions: list[float | None], reach: int = 1) -> list[list[int | None]]:
    return [
        [at and at.plane if at else None for at in near]
        for near in adjacent_planes(positions, reach)
    ]


def test_planes_in_order_have_the_planes_beside_them() -> None:
    assert numbers([0, 2, 4]) == [[None, 1], [0, 2], [1, None]]
    assert adjacent_planes([0, 2, 4], 1)[1][0].gap_mm == 2


def test_planes_out_of_order_are_neighbours_by_position() -> None:
    assert numbers([4, 0, 2]) == [[2, None], [None, 2], [1, 0]]


def test_second_neighbours_come_behind_the_first() -> None:
    assert numbers([0, 1, 2, 3], reach=2)[1] == [0, 2, None, 3]


def test_there_are_no_neighbours_across_a_gap() -> None:
    assert numbers([0, 2, 4, 8, 10]) == [[None, 1], [0, 2], [1, None], [None, 4], [3, None]]
    assert numbers([0, 50]) == [[None, None]] * 2


def test_there_are_no_neighbours_across_volumes() -> None:
    """Two phases, one after the other, and slice by slice."""
    assert numbers([0, 2, 4, 0, 2, 4])[2:4] == [[1, None], [None, 4]]
    assert numbers([0, 0, 2, 2, 4, 4]) == [[None, None]] * 6


def test_without_positions_there_are_no_neighbours() -> None:
    assert numbers([None, None]) == [[None, None]] * 2
    assert numbers([1.0]) == [[None, None]]


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=12), st.integers(0, 2))
def test_neighbours_are_mutual_and_never_at_the_same_place(places: list[int], reach: int) -> None:
    near = adjacent_planes([float(at) for at in places], reach)
    assert [len(each) for each in near] == [2 * reach] * len(places)
    for plane, each in enumerate(near):
        for at in filter(None, each):
            assert at.gap_mm == abs(places[plane] - places[at.plane]) > 0
            assert plane in [back.plane for back in near[at.plane] if back is not None]
    if len(set(places)) == len(places) and reach:
        order = np.argsort(places)
        assert near[int(order[0])][0] is None
