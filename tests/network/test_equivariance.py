"""Networks whose output scales with the input, for images of any unit."""

from __future__ import annotations

import pytest
import torch

from ratcli.network.inference import InferenceRAT
from ratcli.network.rat import RAT, NetworkSettings, typical_value

SETTINGS = NetworkSettings(
    width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, equivariant=True
)


@pytest.fixture
def network() -> RAT:
    torch.manual_seed(0)
    network = RAT(SETTINGS).requires_grad_(False)
    torch.nn.init.normal_(network.ending.weight)
    return network


@pytest.mark.parametrize("unit", [1e-3, 300.0, 2e4])
def test_the_result_does_not_depend_on_the_unit(network: RAT, unit: float) -> None:
    image, labels = torch.rand(2, 1, 37, 45), torch.randint(0, 4, (2, 37, 45))
    for restore in (network, InferenceRAT(network)):
        expected = restore(image, labels)
        assert (expected - image).abs().max() > 0.01
        torch.testing.assert_close(restore(image * unit, labels) / unit, expected)


def test_an_empty_plane_stays_empty(network: RAT) -> None:
    empty, labels = torch.zeros(1, 1, 16, 16), torch.zeros(1, 16, 16, dtype=torch.int32)
    assert network(empty, labels).abs().max() < 1e-6


def test_empty_surroundings_do_not_change_the_level() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., :32, :32] = torch.rand(32, 32)
    torch.testing.assert_close(typical_value(image), typical_value(image[..., :32, :32]))
