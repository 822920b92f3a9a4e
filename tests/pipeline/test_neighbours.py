"""Neighbouring planes: found by position, read once, left out where there are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from memory_scan import MemoryScan, run

from ratcli.network.neighbours import Neighbour, with_neighbours
from ratcli.pipeline.model import Model
from ratcli.scan import FloatArray

Load = Callable[..., Model]


def series(planes: int = 6, side: int = 24) -> FloatArray:
    noise = np.random.default_rng(0).normal(40, 30, (planes, 1, side, side))
    return noise.astype(np.float32)


def restored(model: Model, values: FloatArray, places: list[float] | None) -> FloatArray:
    scan = MemoryScan(values, positions_mm=None if places is None else tuple(places))
    run(model, scan)
    return scan.written


@pytest.fixture
def seeing(load: Load) -> Model:
    """A model whose network sees one plane on each side."""
    return load(identity=False, kept=None, planes_beside=1)


def test_a_plane_is_restored_from_those_beside_it_and_from_no_others(seeing: Model) -> None:
    places = [0.0, 2, 4, 6, 8, 10]
    before = restored(seeing, series(), places)
    changed = series()
    changed[3] += 20
    differs = [
        bool(np.abs(plane).max() > 1e-3) for plane in restored(seeing, changed, places) - before
    ]
    assert differs == [False, False, True, True, True, False]


def test_the_order_of_the_planes_in_the_file_does_not_matter(seeing: Model) -> None:
    places, order = np.arange(6.0), [3, 0, 5, 1, 4, 2]
    whole = restored(seeing, series(), places.tolist())
    shuffled = restored(seeing, series()[order], places[order].tolist())
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-3)


def test_a_gap_separates_planes(seeing: Model) -> None:
    together = restored(seeing, series(4), [0, 1, 5, 6])
    apart = np.concatenate(
        [restored(seeing, series(4)[:2], [0, 1]), restored(seeing, series(4)[2:], [0, 1])]
    )
    np.testing.assert_allclose(together, apart, atol=1e-3)


@pytest.mark.parametrize("places", [None, [0.0] * 6])
def test_planes_without_places_are_restored_alone(
    seeing: Model, places: list[float] | None
) -> None:
    whole = restored(seeing, series(), places)
    for number, plane in enumerate(series()):
        np.testing.assert_allclose(
            whole[number], restored(seeing, plane[None], [0.0])[0], atol=1e-3
        )


def test_without_context_each_plane_is_restored_alone(load: Load) -> None:
    model = load(identity=False, kept=None, planes_beside=1, context="none")
    places = [float(place) for place in range(6)]
    scan = MemoryScan(series(), positions_mm=tuple(places))
    assert "planes" not in " ".join(model.provenance(scan.info).restored().settings)
    np.testing.assert_allclose(
        restored(model, series(), places), restored(model, series(), None), atol=1e-3
    )


def test_the_provenance_tells_how_many_planes_were_used(seeing: Model) -> None:
    scan = MemoryScan(series(), positions_mm=(0, 1, 2, 3, 4, 5))
    derivation = seeing.provenance(scan.info).restored()
    assert "planes=3" in derivation.settings
    assert "each from 3 neighbouring planes" in derivation.description


@pytest.mark.parametrize("batch", [1, 4])
def test_each_plane_is_read_once(load: Load, batch: int) -> None:
    model = load(planes_beside=1, batch=batch)
    scan = MemoryScan(series(), positions_mm=(0, 1, 2, 3, 4, 5))
    run(model, scan)
    assert sorted(scan.reads) == list(range(6))


def test_panes_see_the_same_pane_of_the_planes_beside(load: Load) -> None:
    """The result of a pane does not depend on what neighbours show elsewhere."""
    model = load(identity=False, kept=None, planes_beside=1, pane=32, pane_overlap=8)
    values, places = series(3, 48), [0.0, 1, 2]
    changed = values.copy()
    changed[0, :, :, 40:] += 50
    change = restored(model, changed, places)[1] - restored(model, values, places)[1]
    assert np.abs(change[..., :8]).max() < 1e-3 < np.abs(change[..., 40:]).max()


def test_what_a_neighbour_does_not_show_counts_as_no_difference() -> None:
    plane = np.ones((1, 4, 4), np.float32)
    known = np.ones((4, 4), bool)
    known[0] = False
    seen = with_neighbours(plane, [Neighbour(plane + 2, 3.0, known), None], 1)
    assert np.array_equal(seen[1], np.where(known, 2, 0))
    assert seen.shape == (5, 4, 4)
    assert not seen[2].any()
    assert not seen[4].any()
    assert np.all(seen[3] == 0.5)


def test_twice_the_uptake_gives_twice_the_result_with_neighbours() -> None:
    import torch

    from ratcli.network.rat import RAT, NetworkSettings

    torch.manual_seed(0)
    settings = NetworkSettings(
        width=4, encoder_blocks=(1,), decoder_blocks=(1,), groups=(1,), heads=2,
        context=1, equivariant=True,
    )  # fmt: skip
    network = RAT(settings).eval()
    plane = np.abs(series(1)[0])
    labels = torch.zeros(1, 24, 24, dtype=torch.int32)
    once, twice = (
        network(
            torch.from_numpy(
                with_neighbours(factor * plane, [Neighbour(factor * plane[:, ::-1], 2.0), None], 1)
            )[None],
            labels,
        ).detach()
        for factor in (np.float32(1), np.float32(2))
    )
    torch.testing.assert_close(twice, 2 * once, rtol=1e-4, atol=1e-3)
