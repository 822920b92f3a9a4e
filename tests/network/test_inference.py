"""The network that only restores, against the one that learns."""

from __future__ import annotations

import pytest
import torch
from networks import network, planes, published_network

from ratcli.network.inference import InferenceRAT


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


@pytest.mark.parametrize("tile", [0, 32])
def test_the_shares_that_are_heard_add_up_to_the_whole(tile: int) -> None:
    heard: list[float] = []
    InferenceRAT(network())(*planes(1, 96, 80), tile, heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1.0)
    assert heard[-2] < 1.0


def test_half_precision_stays_near_float32() -> None:
    learned = network()
    image, labels = planes()
    full, half = (InferenceRAT(learned, dtype) for dtype in (torch.float32, torch.bfloat16))
    difference = half(image, labels) - full(image, labels)
    assert half(image, labels).dtype == torch.float32
    # bfloat16 keeps 8 bits; the output is of size 1 to 3.
    assert 0 < difference.abs().max() < 0.1


def test_bfloat16_in_attention_alone_stays_nearer() -> None:
    learned = network()
    image, labels = planes()
    full, mixed, half = (
        InferenceRAT(learned, *dtypes)(image, labels)
        for dtypes in (
            (torch.float32,), (torch.float32, torch.bfloat16), (torch.bfloat16,)
        )
    )  # fmt: skip
    assert 0 < (mixed - full).abs().max() < (half - full).abs().max()


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
