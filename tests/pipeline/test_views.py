"""Restoring in eight views, and the standard deviations that come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from memory_scan import MemoryScan, run

from ratcli.errors import UsageError
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model
from ratcli.pipeline.settings import VIEWS
from ratcli.pipeline.views import RunningMean, turn, turn_back
from ratcli.regions import LabelArray, Regions
from ratcli.scan import FloatArray
from ratcli.tasks import get_task

Load = Callable[..., Model]


Restore = Callable[..., list[FloatArray]]


def slices(planes: int = 1, height: int = 48, width: int = 40) -> FloatArray:
    rng = np.random.default_rng(3)
    return np.rint(rng.normal(40, 100, (planes, 1, height, width))).astype(np.float32)


class StandIn:
    """Stands in for an engine."""

    batch = 1

    def __init__(self, restore: Restore) -> None:
        self.restore = restore

    @staticmethod
    def seen(plane: FloatArray, neighbours: object) -> FloatArray:
        return plane


def restored(load: Load, *functions: Restore, plane: FloatArray, labels: LabelArray) -> FloatArray:
    """Restore a plane of HU by functions in place of networks."""
    model = load(kept=None, views=VIEWS)
    model._engines = tuple(StandIn(function) for function in functions)
    padding = np.zeros(labels.shape, bool)
    return model.restore([plane], [padding], [Regions.from_labels(labels)])[0].values


@pytest.mark.parametrize("view", range(VIEWS))
@pytest.mark.parametrize("shape", [(1, 5, 5), (1, 4, 7), (3, 6, 2)])
def test_a_view_turned_back_lands_on_the_same_pixels(view: int, shape: tuple[int, ...]) -> None:
    plane = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert np.array_equal(turn_back(turn(plane, view), view), plane)


def test_no_two_views_are_the_same() -> None:
    plane = np.arange(9).reshape(3, 3)
    assert len({turn(plane, view).tobytes() for view in range(VIEWS)}) == VIEWS


def test_labels_are_turned_with_their_plane(load: Load) -> None:
    plane, seen = np.arange(4 * 7, dtype=np.float32).reshape(1, 4, 7), []

    def restore(
        planes: Sequence[FloatArray], labels: Sequence[LabelArray], _heard: object
    ) -> list[FloatArray]:
        seen.append(planes[0].shape)
        assert np.allclose(get_task("ct-denoise").denormalise(planes[0])[0], labels[0], atol=1e-3)
        return list(planes)

    same = restored(load, restore, plane=plane, labels=plane[0].astype(np.int32))
    assert np.allclose(same, plane, atol=1e-3)
    assert seen == [(1, 4, 7), (1, 7, 4)] * 4


def test_results_are_turned_back_before_they_are_averaged(load: Load) -> None:
    plane, seen = slices()[0], []
    task = get_task("ct-denoise")

    def restore(
        planes: Sequence[FloatArray], labels: Sequence[LabelArray], _heard: object
    ) -> list[FloatArray]:
        # Differs from view to view: brighter towards what is at the top just then.
        ramp = np.linspace(0.05, 0, planes[0].shape[1], dtype=np.float32)[:, None]
        seen.append(task.denormalise(turn_back(planes[0] + ramp, len(seen))))
        return [planes[0] + ramp]

    found = restored(load, restore, plane=plane, labels=np.zeros(plane.shape[1:], np.int32))
    # float32 at a few hundred HU: steps of 3e-5
    np.testing.assert_allclose(found, np.mean(seen, axis=0, dtype=np.float64), atol=2e-4)


def test_several_networks_are_averaged(load: Load) -> None:
    plane = slices()[0]

    def brighter(
        planes: Sequence[FloatArray], labels: Sequence[LabelArray], _heard: object
    ) -> list[FloatArray]:
        return [plane + np.float32(6 / 400) for plane in planes]

    def same(
        planes: Sequence[FloatArray], labels: Sequence[LabelArray], _heard: object
    ) -> list[FloatArray]:
        return list(planes)

    found = restored(load, same, brighter, plane=plane, labels=np.zeros((48, 40), np.int32))
    np.testing.assert_allclose(found, plane + 3, atol=1e-3)


def test_mean_and_variance_are_those_of_the_samples() -> None:
    samples = np.random.default_rng(5).normal(40, 5, (VIEWS, 1, 9, 7)).astype(np.float32)
    running = RunningMean()
    for sample in samples:
        running.add([sample])
    assert running.variances is not None
    # float32 at some ten HU: steps of 4e-6
    np.testing.assert_allclose(running.means[0], samples.mean(0, np.float64), atol=1e-4)
    np.testing.assert_allclose(running.variances[0], samples.var(0, np.float64, ddof=1), rtol=1e-4)


def test_one_sample_has_no_variance_and_is_its_own_mean() -> None:
    running, plane = RunningMean(), slices()[0]
    running.add([plane])
    assert running.variances is None
    assert running.means[0] is plane


@pytest.mark.parametrize("size", [(48, 48), (48, 40)])
def test_the_mean_of_identity_networks_is_the_identity(load: Load, size: tuple[int, int]) -> None:
    one, eight, spread = (MemoryScan(slices(2, *size)) for _ in range(3))
    run(load(), one)
    run(load(views=8), eight, uncertainty=spread)
    assert np.array_equal(one.written, eight.written)
    assert not spread.written.any()


def test_eight_views_of_a_turned_scan_are_those_of_the_scan_turned(load: Load) -> None:
    values = slices()
    restored = []
    for scan in (MemoryScan(values), MemoryScan(turn(values, 5))):
        run(load(identity=False, views=8), scan)
        restored.append(scan.written)
    # The same eight views in another order: rounding alone, of HU up to 400 in float32.
    np.testing.assert_allclose(turn(restored[0], 5), restored[1], atol=2e-3)


def test_given_regions_are_turned_too(load: Load) -> None:
    halves = np.zeros((48, 40), np.int32)
    halves[:, 20:] = 1
    results = []
    for regions in (Regions.single(48, 40), Regions.from_labels(halves)):
        scan = MemoryScan(slices())
        run(load(identity=False, views=8), scan, regions=lambda _, given=regions: given)
        results.append(scan.written)
    assert not np.array_equal(*results)


@pytest.mark.parametrize("views", [0, 2, 16])
def test_another_number_of_views_is_refused(views: int) -> None:
    with pytest.raises(UsageError, match="views must be 1 or 8"):
        RestoreSettings(task=get_task("ct-denoise"), views=views)


def test_views_enter_the_provenance_only_where_there_are_several(load: Load) -> None:
    info = MemoryScan(slices()).info
    one, eight = (load(views=views).provenance(info).restored() for views in (1, 8))
    assert not any("views" in setting for setting in one.settings)
    assert "views=8" in eight.settings
    assert "mean of 8 views" in eight.description


def test_result_residual_and_uncertainty_get_identifiers_of_their_own(load: Load) -> None:
    provenance = load(views=8).provenance(MemoryScan(slices()).info)
    made = [provenance.restored(), provenance.residual(), provenance.uncertainty()]
    assert len({(one.method, one.settings) for one in made}) == 3
    assert len({one.label for one in made}) == 3
