"""The way from the command line to the network: short, and read from top to bottom."""

from __future__ import annotations

import traceback
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ratcli.cli.app import main

PACKAGE = Path(__file__).resolve().parents[2] / "ratcli"
ORDER = ("cli", "commands", "batch", "pipeline", "network")


def path_to_the_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return module and function of our frames from `main` to the network's forward."""
    from ratcli.network.inference import InferenceRAT

    stacks, forward = [], InferenceRAT.forward

    def watched(self: InferenceRAT, *words: object) -> object:
        stacks.append(traceback.extract_stack())
        return forward(self, *words)

    monkeypatch.setattr(InferenceRAT, "forward", watched)
    tifffile.imwrite(folder / "scan.tif", np.eye(32, dtype=np.float32) * 100)
    words = ["restore", str(folder / "scan.tif"), "-t", "ct-denoise", "--unit", "HU"]
    assert main([*words, "--threads", "1"]) == 0
    ours = [frame for frame in stacks[0] if PACKAGE in Path(frame.filename).parents]
    return [(Path(f.filename).relative_to(PACKAGE).as_posix(), f.name) for f in ours]


@pytest.mark.usefixtures("tiny_weights")
def test_nine_frames_lie_between_the_command_line_and_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = path_to_the_network(tmp_path, monkeypatch)
    assert frames[0] == ("cli/app.py", "main")
    assert len(frames) <= 9, frames


@pytest.mark.usefixtures("tiny_weights")
def test_the_way_to_the_network_leads_down_through_the_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = path_to_the_network(tmp_path, monkeypatch)
    layers = [ORDER.index(Path(module).parts[0]) for module, _ in frames]
    assert layers == sorted(layers)
    assert set(layers) == set(range(len(ORDER)))
