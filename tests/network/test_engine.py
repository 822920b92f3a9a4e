"""The engine: panes, and compiling with and without a compiler."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ratcli.network.engine import compile_blocks, panes
from ratcli.network.inference import InferenceRAT
from ratcli.network.rat import RAT, NetworkSettings

SMALL = NetworkSettings(
    width=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, window=4
)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    side=st.integers(2, 10).map(lambda n: 16 * n),
    overlap=st.integers(0, 31),
)
def test_panes_cover_every_pixel_and_start_on_the_latent_grid(
    height: int, width: int, side: int, overlap: int
) -> None:
    seen = torch.zeros(height, width)
    for box in panes((height, width), side, min(overlap, side // 2), 16):
        assert box.top % 16 == 0
        assert box.left % 16 == 0
        assert 0 < box.height <= side
        assert 0 < box.width <= side
        seen[box.slices] += 1
    assert bool((seen > 0).all())


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
