"""The network that only restores, against the one that learns."""

from __future__ import annotations

import pytest
import torch
from test_golden import published_network
from torch import Tensor

from ratcli.network import tiles
from ratcli.network.inference import InferenceRAT
from ratcli.network.rat import RAT, NetworkSettings
from ratcli.network.tiles import Tiles
from ratcli.scan import Box

SMALL = NetworkSettings(
    width=8, encoder_blocks=(1, 2), decoder_blocks=(2, 1), groups=(1, 2), heads=2, window=4
)


def network(settings: NetworkSettings = SMALL) -> RAT:
    torch.manual_seed(7)
    made = RAT(settings).eval()
    for name, value in made.named_parameters():
        if value.ndim == 1 or name.endswith(("beta", "gamma")):
            torch.nn.init.normal_(value, 0.2, 0.3)
    return made


def planes(batch: int = 1, height: int = 96, width: int = 80) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(8)
    image = torch.rand(batch, 1, height, width, generator=generator)
    coarse = torch.randint(0, 6, (batch, 8, 8), generator=generator, dtype=torch.int32)
    labels = coarse.repeat_interleave(height // 8, 1).repeat_interleave(width // 8, 2)
    return image, labels


@pytest.mark.parametrize("name", ["rat_gray", "rat_rgb_x4"])
def test_folded_parts_give_the_published_output(name: str) -> None:
    learned, golden = published_network(name)
    output = InferenceRAT(learned)(golden["input"], golden["labels"])
    assert torch.allclose(output, golden["output"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(1, 96, 80), (3, 48, 64), (2, 40, 24)])
def test_it_gives_what_the_learning_network_gives(shape: tuple[int, int, int]) -> None:
    learned = network()
    image, labels = planes(*shape)
    with torch.no_grad():
        expected = learned(image, labels)
    # Sums of float32 in another order, values of about 1.
    assert torch.allclose(InferenceRAT(learned)(image, labels), expected, atol=2e-5)


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


def test_half_precision_stays_near_float32() -> None:
    learned = network()
    image, labels = planes()
    full, half = (InferenceRAT(learned, dtype) for dtype in (torch.float32, torch.bfloat16))
    difference = half(image, labels) - full(image, labels)
    assert half(image, labels).dtype == torch.float32
    # bfloat16 keeps 8 bits; the output is of size 1 to 3.
    assert 0 < difference.abs().max() < 0.1


def test_labels_on_another_grid_are_a_callers_mistake() -> None:
    with pytest.raises(ValueError, match="labels are"):
        InferenceRAT(network())(torch.zeros(1, 1, 32, 32), torch.zeros(1, 16, 16))


def test_the_learning_network_is_left_as_it_was() -> None:
    learned = network()
    before = {name: value.clone() for name, value in learned.state_dict().items()}
    InferenceRAT(learned)(*planes())
    assert all(torch.equal(value, before[name]) for name, value in learned.state_dict().items())


def test_the_input_is_left_as_it_was() -> None:
    image, labels = planes()
    before = image.clone()
    InferenceRAT(network())(image, labels)
    assert torch.equal(image, before)


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
