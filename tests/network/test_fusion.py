"""Neighbours that are averaged into a plane before the network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ratcli.network.fusion import NeighbourFusion, fused_by_rows
from ratcli.network.inference import InferenceRAT
from ratcli.network.neighbours import input_channels
from ratcli.network.rat import RAT, NetworkSettings
from ratcli.training.prepare import widened

SMALL = NetworkSettings(
    width=8,
    encoder_blocks=(1, 1),
    decoder_blocks=(1, 1),
    groups=(1,),
    heads=2,
    context=1,
    fused=True,
)


def fusion(channels: int = 1, context: int = 1) -> NeighbourFusion:
    """Return one with random shares, which depend on what it sees."""
    torch.manual_seed(0)
    made = NeighbourFusion(channels, context).eval()
    last = made.layers[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.normal_(last.weight, std=0.05)
    return made


def seen(channels: int = 1, context: int = 1, side: int = 48) -> Tensor:
    torch.manual_seed(1)
    image = torch.randn(1, input_channels(channels, context), side, side)
    image[:, -2 * context :] = 0.5
    return image


@pytest.mark.parametrize(("channels", "context"), [(1, 1), (1, 2), (3, 1)])
def test_without_neighbours_the_plane_stays(channels: int, context: int) -> None:
    image = seen(channels, context)
    image[:, channels:] = 0
    fused = fusion(channels, context)(image)
    torch.testing.assert_close(fused, image[:, :channels], rtol=0, atol=0)


def test_the_unit_of_the_values_does_not_matter() -> None:
    made, image = fusion(), seen()
    scaled = image.clone()
    scaled[:, :3] *= 0.01
    torch.testing.assert_close(made(scaled), 0.01 * made(image), rtol=1e-3, atol=1e-5)


def test_every_neighbour_begins_with_the_same_share() -> None:
    image = seen()
    fused = NeighbourFusion(1, 1)(image)
    torch.testing.assert_close(fused, image[:, :1] + 0.1 * image[:, 1:3].sum(1, keepdim=True))


@pytest.mark.parametrize("tile", [0, 64])
def test_restoring_gives_what_training_gives(tile: int) -> None:
    torch.manual_seed(2)
    network = RAT(SMALL).eval()
    network.fusion = fusion()
    image = 0.1 * torch.randn(1, SMALL.input_channels, 300, 70)
    labels = torch.zeros(1, 300, 70, dtype=torch.int32)
    with torch.inference_mode():
        expected = network(image, labels)
    torch.testing.assert_close(
        InferenceRAT(network)(image, labels, tile), expected, rtol=0, atol=2e-6
    )


@pytest.mark.parametrize("context", [0, 1])
def test_a_network_that_fuses_begins_as_the_one_of_single_planes(context: int) -> None:
    torch.manual_seed(3)
    fields = {name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__}
    single = RAT(NetworkSettings(**{**fields, "context": context, "fused": False})).eval()
    network = RAT(SMALL).eval()
    network.load_state_dict(widened(single.state_dict(), network.state_dict()))
    image, labels = torch.zeros(1, 5, 32, 32), torch.zeros(1, 32, 32, dtype=torch.int32)
    image[:, :1] = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        expected = single(image[:, : single.settings.input_channels], labels)
        torch.testing.assert_close(network(image, labels), expected)


def test_fusing_needs_neighbours() -> None:
    with pytest.raises(ValueError, match="context is 0"):
        NetworkSettings(context=0, fused=True)


def test_restoring_leaves_a_plane_without_neighbours_as_it_is() -> None:
    image = seen()
    image[:, 1:] = 0
    fused = fused_by_rows(fusion(), image.permute(0, 2, 3, 1), torch.device("cpu"))
    torch.testing.assert_close(fused.permute(0, 3, 1, 2), image[:, :1], rtol=0, atol=0)
