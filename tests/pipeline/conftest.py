"""Small networks, registered in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import torch

from ratcli.network.checkpoint import save_state
from ratcli.network.rat import RAT, NetworkSettings
from ratcli.network.settings import EngineSettings
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model
from ratcli.tasks import get_task
from ratcli.training.publish import enter
from ratcli.weightfiles import hash_file

KEPT = {"least": 0.03, "error": 1.3, "slope": 0.03, "along_px": 4.0}
"""What results of the shipped CT weights keep of the residual."""
CALIBRATION = ("uncertainty_scale", "uncertainty_floor", "uncertainty_share")
SMALL = NetworkSettings(
    width=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, window=4
)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Model]:
    """Return a function that loads a model; an identity network unless told otherwise."""
    monkeypatch.setenv("RAT_HOME", str(tmp_path))

    def make(
        identity: bool = True,
        uncertainty: tuple[float, ...] = (1.0, 0.0, 0.0),
        kept: dict[str, float] | None = KEPT,
        mean_kept_px: float = 0.0,
        planes_beside: int = 0,
        **settings: object,
    ) -> Model:
        torch.manual_seed(5)
        small = replace(SMALL, context=planes_beside)
        network = RAT(small)
        for name, value in network.named_parameters():
            if name.endswith(("beta", "gamma", "gate")):
                torch.nn.init.normal_(value, 0, 0.3)
        if identity:
            torch.nn.init.zeros_(network.ending.weight)
            torch.nn.init.zeros_(network.ending.bias)
        path = tmp_path / "small.safetensors"
        save_state(path, network.state_dict(), torch.float32)
        entry = {
            "task": "ct-denoise", "file": path.name, "sha256": hash_file(path), "summary": "",
            "licence": "Apache-2.0", "data": [], "network": asdict(small),
            **dict(zip(CALIBRATION, uncertainty, strict=False)),
            "mean_kept_px": mean_kept_px,
            **({} if kept is None else {"residual_kept": kept}),
        }  # fmt: skip
        enter(tmp_path, "small", entry)
        names = {field.name for field in fields(EngineSettings)} & set(settings)
        engine = EngineSettings(device="cpu", **{name: settings.pop(name) for name in names})
        chosen = {"partition": "none", "weights": ("small",), "engine": engine, **settings}
        return Model.load(RestoreSettings(**{"task": get_task("ct-denoise"), **chosen}))

    return make
