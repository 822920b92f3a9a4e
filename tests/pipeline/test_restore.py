"""The pipe around the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from memory_scan import MemoryScan, run

from ratcli.errors import UnsuitableInputError
from ratcli.pipeline import cutting, model, restore
from ratcli.pipeline.model import Model
from ratcli.pipeline.prepared import PreparedPlane, prepare
from ratcli.regions import Regions
from ratcli.scan import FloatArray

Load = Callable[..., Model]


def slices(planes: int = 2, height: int = 48, width: int = 40) -> FloatArray:
    rng = np.random.default_rng(3)
    return np.rint(rng.normal(40, 100, (planes, 1, height, width))).astype(np.float32)


def test_the_residual_is_input_minus_output(load: Load) -> None:
    scan, residual = MemoryScan(slices()), MemoryScan(slices())
    run(load(identity=False), scan, residual=residual)
    assert np.allclose(residual.written, scan.values - scan.written)


def test_the_summary_tells_what_changed(load: Load) -> None:
    scan = MemoryScan(slices())
    summary = run(load(identity=False), scan)
    change = (scan.written - scan.values).astype(np.float64)
    assert summary.planes == 2
    assert summary.mean_change == pytest.approx(change.mean(), rel=1e-4)
    assert summary.noise_removed == pytest.approx(change.std(), rel=1e-4)


def test_progress_counts_every_plane(load: Load) -> None:
    told: list[tuple[float, int]] = []
    scan = MemoryScan(slices(3))
    run(load(), scan, progress=lambda done, planes: told.append((done, planes)))
    assert [each for each in told if each[0] % 1 == 0] == [(1, 3), (2, 3), (3, 3)]


def test_progress_grows_within_a_plane_and_may_end_the_work(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ratcli.pipeline.progress.TOLD_EVERY_S", -1.0)
    told: list[float] = []
    run(load(), MemoryScan(slices(2)), progress=lambda done, planes: told.append(done))
    assert told == sorted(told)
    assert sum(0 < done < 1 for done in told) > 10
    assert told[-1] == 2

    def ending(done: float, planes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(load(), MemoryScan(slices(2)), progress=ending)


def test_progress_counts_the_panes_of_a_plane_that_is_cut(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(cutting, "WRITTEN_SIDE", 64)
    told: list[tuple[float, int]] = []
    scan = MemoryScan(slices(1, 100, 70))
    run(load(pane_overlap=16), scan, progress=lambda done, of: told.append((done, of)))
    assert [each for each in told if each[0] % 1 == 0] == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("batch", [2, 8])
def test_a_batch_gives_what_single_planes_give(load: Load, batch: int) -> None:
    alone, together = MemoryScan(slices(3)), MemoryScan(slices(3))
    run(load(identity=False, partition="superpixel"), alone)
    run(load(identity=False, partition="superpixel", batch=batch), together)
    assert np.allclose(alone.written, together.written, atol=1e-2)


def test_given_regions_take_the_place_of_the_partitioner(load: Load) -> None:
    halves = np.zeros((48, 40), np.int32)
    halves[:, 20:] = 1
    results = []
    for regions in (Regions.single(48, 40), Regions.from_labels(halves)):
        scan = MemoryScan(slices(1))
        run(load(identity=False), scan, regions=lambda _, given=regions: given)
        results.append(scan.written)
    assert not np.array_equal(*results)


def test_panes_cover_a_large_plane_exactly_once(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(cutting, "WRITTEN_SIDE", 80)
    scan = MemoryScan(slices(1, 130, 170))
    run(load(pane_overlap=16), scan)
    assert np.array_equal(np.rint(scan.written), scan.values)
    assert len(scan.boxes) == 6


def test_a_plane_that_is_cut_is_read_once(load: Load) -> None:
    scan, read = MemoryScan(slices(2, 100, 90)), []
    inner = scan.read
    scan.read = lambda plane, box=None: read.append((plane, box)) or inner(plane, box)
    run(load(pane=64), scan)
    assert read == [(0, None), (1, None)]


def test_of_a_plane_that_is_too_large_to_hold_panes_alone_are_read(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, boxes = MemoryScan(slices(1, 100, 90)), MemoryScan(slices(1, 100, 90))
    run(load(identity=False, pane=64), held)
    monkeypatch.setattr(restore, "HELD_BYTES", 1000)
    monkeypatch.setattr(boxes, "read", lambda plane, box: MemoryScan.read(boxes, plane, box))
    run(load(identity=False, pane=64), boxes)
    assert np.array_equal(held.written, boxes.written)


@pytest.mark.parametrize("is_padding", [True, False])
def test_a_hole_that_the_border_of_a_pane_cuts_is_still_a_hole(
    load: Load, monkeypatch: pytest.MonkeyPatch, is_padding: bool
) -> None:
    values, hidden = slices(1, 100, 90), np.zeros((1, 100, 90), bool)
    hidden[0, 45:85, 35:75] = True
    values[:, 0][hidden] = -1024 if is_padding else np.nan
    seen: list[FloatArray] = []

    def watched(*words: Any) -> PreparedPlane:
        plane = prepare(*words)
        seen.append(plane.normal[0][plane.hidden])
        return plane

    monkeypatch.setattr(model, "prepare", watched)
    run(load(pane_overlap=8).within(64, 1), MemoryScan(values, padding=hidden))
    assert sum(part.size > 0 for part in seen) == 4
    assert np.concatenate(seen).min() > -1  # air is -2.66, tissue of 40 HU with its noise 0 +- 0.25


@pytest.mark.parametrize("side", [32, 64])
def test_panes_of_an_identity_network_show_no_seam(load: Load, side: int) -> None:
    scan = MemoryScan(slices(1, 100, 90))
    run(load(pane_overlap=16).within(side, 1), scan)
    assert np.abs(scan.written - scan.values).max() < 1e-3


@pytest.mark.parametrize(
    ("modality", "unit", "message"),
    [("MR", None, "modality is MR"), ("CT", "Bq/ml", "values are in Bq/ml")],
)
def test_other_scans_are_refused(load: Load, modality: str, unit: str | None, message: str) -> None:
    scan = MemoryScan(slices(), modality, unit)
    with pytest.raises(UnsuitableInputError, match=message):
        run(load(), scan)


def test_values_that_cannot_be_hounsfield_units_are_refused(load: Load) -> None:
    scan = MemoryScan(np.random.default_rng(0).random((1, 1, 32, 32), np.float32), None, None)
    with pytest.raises(UnsuitableInputError, match="do not look like HU"):
        run(load(), scan)
