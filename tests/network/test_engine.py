"""The engine: compiling with and without a compiler."""

from __future__ import annotations

import logging

import pytest
import torch

from ratcli.network.engine import compile_blocks
from ratcli.network.inference import InferenceRAT
from ratcli.network.rat import RAT, NetworkSettings

SMALL = NetworkSettings(
    width=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, window=4
)


def test_without_a_compiler_the_network_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = InferenceRAT(RAT(SMALL))

    def broken(self: torch.nn.Module, dynamic: bool) -> None:
        self._compiled_call_impl = lambda *_: 1 / 0

    monkeypatch.setattr(torch.nn.Module, "compile", broken)
    with caplog.at_level(logging.WARNING):
        compile_blocks(network)
    assert "going on without" in caplog.text
    image = torch.zeros(1, 1, 16, 16)
    assert network(image, torch.zeros(1, 16, 16, dtype=torch.int32)).shape == image.shape
