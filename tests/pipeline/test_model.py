"""What a model does around its networks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from memory_scan import MemoryScan, run

from ratcli.errors import DeviceError, WeightsError
from ratcli.network.tiles import Heard
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model
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


@pytest.mark.parametrize("value", [-1000, 0, 40.5, 2000])
def test_a_plane_of_one_value_comes_back_as_it_is(load: Load, value: float) -> None:
    scan = MemoryScan(np.full((1, 1, 48, 40), value, np.float32))
    run(load(identity=False), scan)
    assert np.array_equal(scan.written, scan.values)


def test_an_area_of_one_value_is_kept_up_to_its_edge_and_noise_beside_it_is_not(load: Load) -> None:
    values = slices(1)
    values[0, 0, :, :20] = 60.0
    scan = MemoryScan(values)
    run(load(identity=False), scan)
    changed = np.abs(scan.written - values)[0, 0] > 1e-3
    assert not changed[:, :20].any()
    assert changed[:, 20:].mean() > 0.9


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


def test_little_memory_halves_batch_then_tile_and_goes_on(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(batch=4)
    network = model._engines[0]._network
    inner, most = network.forward, 2 * 64 * 64

    def starved(image: torch.Tensor, labels: torch.Tensor, tile: int, heard: Heard) -> torch.Tensor:
        if len(image) * (tile or image.shape[-1]) ** 2 > most:
            raise torch.OutOfMemoryError
        return inner(image, labels, tile, heard)

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


def test_a_hole_does_not_show_in_the_pixels_around_it(load: Load) -> None:
    whole = MemoryScan(np.full((1, 1, 48, 40), 40, np.float32))
    run(load(identity=False, partition="superpixel-coarse"), whole)
    holed = MemoryScan(whole.values.copy())
    holed.values[0, 0, 10, 10] = np.nan
    holed.values[0, 0, 20:32, 12:24] = np.inf
    summary = run(load(identity=False, partition="superpixel-coarse"), holed)
    measured = np.isfinite(holed.values)
    assert np.array_equal(holed.written[~measured], holed.values[~measured], equal_nan=True)
    assert np.allclose(holed.written[measured], whole.written[measured], atol=0.05)
    changed = holed.written[measured] - holed.values[measured]
    assert summary.mean_change == pytest.approx(float(changed.mean()), rel=1e-3)
