"""Lesions that training plants: where they lie, and what neighbours show of them."""

from __future__ import annotations

import numpy as np

from ratcli.network.neighbours import Neighbour
from ratcli.training.examples import TargetPlane
from ratcli.training.lesions import plant_lesions

SIDE, SPACING_MM = 128, 0.8


def slice_of(gaps_mm: tuple[float, ...] = ()) -> TargetPlane:
    """Return air beside soft tissue of 50 HU, with neighbours at some distances."""
    values = np.full((1, SIDE, SIDE), 50.0, np.float32)
    values[:, :, : SIDE // 2] = -1000
    near = tuple(Neighbour(values.copy(), gap) for gap in gaps_mm)
    return TargetPlane("drawn", values, SPACING_MM, near)


def test_lesions_lie_in_soft_tissue_and_the_slice_itself_stays() -> None:
    plane = slice_of()
    before = plane.values.copy()
    changes = [
        plant_lesions(np.random.default_rng(seed), plane).values[0] - before[0]
        for seed in range(30)
    ]
    np.testing.assert_array_equal(plane.values, before)
    changed = np.array([np.abs(change).max() for change in changes])
    assert 0.3 < (changed > 5).mean() < 0.9
    assert changed.max() < 200
    reach = round(9 / SPACING_MM)
    assert all(np.abs(change[:, : SIDE // 2 - reach]).max() < 0.1 for change in changes)
    assert min(change.min() for change in changes) < -20
    assert max(change.max() for change in changes) > 20


def test_neighbours_show_less_of_a_lesion_the_farther_they_are() -> None:
    shown = np.zeros(4)
    for seed in range(40):
        plane = slice_of((0.5, 2.5, 10.0))
        planted = plant_lesions(np.random.default_rng(seed), plane)
        seen = [planted.values, *(each.values for each in planted.neighbours if each)]
        shown += [np.abs(values - plane.values).sum() for values in seen]
    assert shown[0] > shown[1] > shown[2] > shown[3] == 0


def test_an_absent_neighbour_stays_absent() -> None:
    near = (None, Neighbour(slice_of().values, 1.0))
    for seed in range(5):
        plane = TargetPlane("drawn", slice_of().values, SPACING_MM, near)
        planted = plant_lesions(np.random.default_rng(seed), plane)
        assert planted.neighbours[0] is None
        assert planted.neighbours[1] is not None
