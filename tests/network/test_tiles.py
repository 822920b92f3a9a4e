"""Tiles, which change the result by rounding alone."""

from __future__ import annotations

import pytest
import torch
from networks import network, planes

from ratcli.network import tiles
from ratcli.network.inference import InferenceRAT
from ratcli.network.tiles import Tiles
from ratcli.scan import Box


@pytest.mark.parametrize("tile", [1, 32, 48, 96])
def test_tiles_change_the_result_by_rounding_alone(tile: int) -> None:
    folded = InferenceRAT(network())
    image, labels = planes(2)
    whole = folded(image, labels)
    assert torch.allclose(folded(image, labels, tile), whole, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(2, 512), (16, 16), (6, 18), (4096, 4096)])
def test_tiles_of_any_sides_change_the_result_by_rounding_alone(
    monkeypatch: pytest.MonkeyPatch, rows: int, columns: int
) -> None:
    folded = InferenceRAT(network())
    image, labels = planes(2)
    whole = folded(image, labels)
    monkeypatch.setattr(Tiles, "_sides", lambda *_: (rows, columns))
    assert torch.allclose(folded(image, labels), whole, atol=1e-5)


def test_a_step_at_a_tiles_border_is_not_seen_in_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folded = InferenceRAT(network())
    image, labels = planes()
    whole = folded(image, labels)
    monkeypatch.setattr(Tiles, "_sides", lambda *_: (32, 32))
    error = (folded(image, labels) - whole)[0, 0].abs()
    assert error[[31, 32, 63, 64]].max() < 1e-5


def test_a_device_gets_tiles_and_not_planes() -> None:
    device = torch.device("meta")
    tiled, whole = Tiles(device, 256, 64), Tiles(device, 256, 0)
    assert tiled.store == torch.device("cpu")
    assert whole.store == device
    fine, coarse = torch.empty(1, 128, 256, 4), torch.empty(1, 32, 64, 16)
    assert list(tiled.cover(fine))[:2] == [Box(0, 0, 64, 64), Box(0, 64, 64, 64)]
    assert list(tiled.cover(coarse))[:2] == [Box(0, 0, 16, 16), Box(0, 16, 16, 16)]
    assert list(whole.cover(fine)) == [Box(0, 0, 128, 256)]
    assert max(tiled.read_around(fine, box)[0].shape[1] for box in tiled.cover(fine)) == 65


def test_tiles_of_a_cpu_hold_what_its_cache_holds() -> None:
    cpu = Tiles(torch.device("cpu"), 2048, 0)
    x = torch.empty(1, 64, 2048, 32)
    for box in cpu.cover(x):
        assert box.height * box.width * 32 <= tiles.CACHE_VALUES
