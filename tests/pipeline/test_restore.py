"""The pipe around the network."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from memory_scan import MemoryScan, run

from ratcli.errors import DeviceError, UnsuitableInputError, UsageError, WeightsError
from ratcli.network.settings import EngineSettings
from ratcli.pipeline import RestoreSettings, cutting, restore
from ratcli.pipeline.model import Model
from ratcli.regions import Regions
from ratcli.scan import BoolArray, FloatArray
from ratcli.tasks import get_task

Load = Callable[..., Model]


def slices(planes: int = 2, height: int = 48, width: int = 40) -> FloatArray:
    rng = np.random.default_rng(3)
    return np.rint(rng.normal(40, 100, (planes, 1, height, width))).astype(np.float32)


def test_an_identity_network_gives_back_whole_hounsfield_units(load: Load) -> None:
    scan = MemoryScan(slices())
    run(load(), scan)
    assert np.array_equal(np.rint(scan.written), scan.values)
    assert np.abs(scan.written - scan.values).max() < 1e-3


def test_values_outside_the_window_come_back_unchanged(load: Load) -> None:
    values = slices()
    values[0, 0, 0, :3] = (-2000.0, 3072.5, np.nan)
    scan = MemoryScan(values)
    run(load(identity=False), scan)
    assert np.array_equal(scan.written[0, 0, 0, :3], values[0, 0, 0, :3], equal_nan=True)
    assert not np.array_equal(scan.written[0, 0, 1:], values[0, 0, 1:])


def test_padding_comes_back_and_does_not_reach_the_network(load: Load) -> None:
    padding = np.zeros((1, 48, 40), bool)
    padding[0, :, :8] = True
    restored = []
    for filler in (-1000.0, 500.0):
        values = slices(1)
        values[0, 0][padding[0]] = filler
        scan = MemoryScan(values, padding=padding)
        run(load(identity=False), scan)
        assert np.array_equal(scan.written[0, 0][padding[0]], values[0, 0][padding[0]])
        restored.append(scan.written[0, 0][~padding[0]])
    assert np.array_equal(*restored)


def test_strength_blends_between_input_and_result(load: Load) -> None:
    results = []
    for strength in (0.0, 0.5, 1.0):
        scan = MemoryScan(slices(1))
        run(load(identity=False, strength=strength), scan)
        results.append(scan.written)
    assert np.allclose(results[0], slices(1), atol=1e-3)
    assert np.allclose(results[1], (results[0] + results[2]) / 2, atol=1e-2)
    assert not np.allclose(results[0], results[2], atol=1)


def test_the_result_keeps_the_share_of_the_residual_that_the_registry_names(load: Load) -> None:
    found, told = {}, {}
    for share in (0.0, 0.25):
        kept = {"least": share, "error": 0.0, "slope": 0.0, "along_px": 0.0}
        scan = MemoryScan(slices(1))
        model = load(identity=False, kept=kept)
        run(model, scan)
        found[share], told[share] = scan.written, model.provenance(scan.info).restored().settings
    expected = 0.75 * found[0.0] + 0.25 * slices(1)
    assert np.allclose(found[0.25], expected, atol=1e-2)
    assert told[0.0] != told[0.25]


def test_pixels_that_may_not_change_are_not_used_for_the_residual_that_is_kept(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[BoolArray] = []

    def watched(before: FloatArray, after: FloatArray, free: BoolArray, *_: object) -> FloatArray:
        counted.append(free)
        return after

    monkeypatch.setattr(importlib.import_module("ratcli.pipeline.model"), "keep_residual", watched)
    values, padding = slices(1), np.zeros((1, 48, 40), bool)
    values[0, 0, 0, :3] = (-2000.0, 3072.5, np.nan)
    padding[0, :, 30:] = True
    scan = MemoryScan(values, padding=padding)
    run(load(identity=False), scan)
    expected = ~padding
    expected[0, 0, :3] = False
    assert np.array_equal(counted[0], expected)


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
    told: list[tuple[int, int]] = []
    scan = MemoryScan(slices(3))
    run(load(), scan, progress=lambda done, planes: told.append((done, planes)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_progress_counts_the_panes_of_a_plane_that_is_cut(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(cutting, "WRITTEN_SIDE", 64)
    told: list[tuple[int, int]] = []
    scan = MemoryScan(slices(1, 100, 70))
    run(load(pane_overlap=16), scan, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


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


@pytest.mark.parametrize("tile", [32, 64])
def test_tiles_of_an_identity_network_show_no_seam(load: Load, tile: int) -> None:
    scan = MemoryScan(slices(1, 100, 90))
    run(load(tile=tile), scan)
    assert np.abs(scan.written - scan.values).max() < 1e-3


@pytest.mark.parametrize("tile", [16, 32, 64])
def test_tiles_change_no_value_by_a_hundredth_of_a_hounsfield_unit(load: Load, tile: int) -> None:
    whole, tiled = MemoryScan(slices(1, 100, 90)), MemoryScan(slices(1, 100, 90))
    run(load(identity=False, partition="superpixel"), whole)
    run(load(identity=False, partition="superpixel", tile=tile), tiled)
    assert np.abs(tiled.written - whole.written).max() < 0.01
    assert np.abs(whole.written - whole.values).max() > 1


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


def test_a_pane_is_recorded_and_a_tile_beside_it(load: Load) -> None:
    info = MemoryScan(slices(1, 100, 90)).info
    settings = load(pane=64, tile=32).provenance(info).restored().settings
    assert "pane=64,16" in settings
    assert "tile=32" in settings
    plain = load().provenance(info).restored().settings
    assert not any(setting.startswith(("pane", "tile")) for setting in plain)


@pytest.mark.parametrize("side", [32, 64])
def test_panes_of_an_identity_network_show_no_seam(load: Load, side: int) -> None:
    scan = MemoryScan(slices(1, 100, 90))
    run(load(pane_overlap=16).within(side, 1), scan)
    assert np.abs(scan.written - scan.values).max() < 1e-3


def test_little_memory_halves_batch_then_tile_and_goes_on(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(batch=4)
    network = model._engines[0]._network
    inner, most = network.forward, 2 * 64 * 64

    def starved(image: torch.Tensor, labels: torch.Tensor, tile: int) -> torch.Tensor:
        if len(image) * (tile or image.shape[-1]) ** 2 > most:
            raise torch.OutOfMemoryError
        return inner(image, labels, tile)

    monkeypatch.setattr(network, "forward", starved)
    scan = MemoryScan(slices(4, 128, 128))
    run(model, scan)
    assert np.array_equal(np.rint(scan.written), scan.values)
    assert [record.message for record in caplog.records] == [
        "out of memory: going on with 2 planes at once",
        "out of memory: going on with 1 planes at once",
        "out of memory: going on with tiles of 64 pixels",
    ]


def test_no_memory_for_the_smallest_tile_is_a_clear_error(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()

    def starved(*_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model._engines[0]._network, "forward", starved)
    scan = MemoryScan(slices())
    with pytest.raises(DeviceError, match="too little memory"):
        run(model, scan)


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


def test_the_provenance_names_weights_and_all_that_shapes_the_result(load: Load) -> None:
    info = MemoryScan(slices()).info
    models = load(), load(), load(strength=0.5)
    first, same, other = (model.provenance(info).restored() for model in models)
    assert first == same
    assert first.settings != other.settings
    assert first.weights_sha256 in first.description


def test_weights_of_another_task_are_refused(load: Load) -> None:
    load()
    with pytest.raises(WeightsError, match="are for ct-denoise"):
        Model.load(RestoreSettings(task=get_task("pet-synthesis"), weights=("small",)))


def test_changed_weights_are_refused(load: Load, tmp_path: Path) -> None:
    load()
    path = tmp_path / "small.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256"):
        Model.load(RestoreSettings(task=get_task("ct-denoise"), weights=("small",)))


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"pane": -1}, {"pane_overlap": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        RestoreSettings(task=get_task("ct-denoise"), **wrong)


@pytest.mark.parametrize("wrong", [{"precision": "fp8"}, {"tile": -64}])
def test_engine_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        EngineSettings(**wrong)
