"""Networks and planes that several tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ratcli.network.checkpoint import from_published
from ratcli.network.rat import RAT, NetworkSettings

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
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


def published_network(name: str) -> tuple[RAT, dict[str, torch.Tensor]]:
    channels, scale = {"rat_gray": (1, 1), "rat_rgb_x4": (3, 4)}[name]
    settings = NetworkSettings(
        channels=channels,
        width=8,
        encoder_blocks=(1, 2),
        decoder_blocks=(2, 1),
        groups=(3, 3),
        scale=scale,
    )
    with np.load(GOLDEN / f"{name}.npz") as golden:
        arrays = {key: torch.from_numpy(golden[key]) for key in golden.files}
    state = {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
    network = RAT(settings)
    network.load_state_dict(from_published(state))
    return network.eval(), arrays
