"""Weights of a few thousand random numbers under the tasks' default names: fast, and no good."""

from __future__ import annotations

import hashlib
from pathlib import Path

SETTINGS = {
    "ct-denoise": "channels = 1\nwidth = 8",
    "pet-synthesis": "channels = 1\nwidth = 8",
    "pathology-sr": "channels = 3\nwidth = 8\nscale = 4",
}
FITTED = {
    "ct-denoise": "residual_kept = {least = 0.03, error = 1.3, slope = 0.03, along_px = 4.0}",
    "pet-synthesis": "mean_kept_px = 4.0",
}
SHAPE = "encoder_blocks = [1, 1]\ndecoder_blocks = [1, 1]\ngroups = [1]\nheads = 2\nwindow = 4"


def make_weights(folder: Path) -> Path:
    """Write a folder for RAT_HOME."""
    import torch

    from ratcli.network.checkpoint import save_state
    from ratcli.network.rat import RAT, NetworkSettings

    registry = []
    for name, table in SETTINGS.items():
        torch.manual_seed(0)
        rgb = name == "pathology-sr"
        settings = NetworkSettings(
            channels=3 if rgb else 1,
            width=8,
            encoder_blocks=(1, 1),
            decoder_blocks=(1, 1),
            groups=(1,),
            heads=2,
            window=4,
            scale=4 if rgb else 1,
        )
        path = folder / f"{name}.safetensors"
        save_state(path, RAT(settings).state_dict(), torch.float32)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        registry.append(
            f'[{name}]\ntask = "{name}"\nfile = "{path.name}"\nsha256 = "{digest}"\n'
            f'summary = "random"\ndata = []\nlicence = "Apache-2.0"\n'
            f"{FITTED.get(name, '')}\n"
            f"[{name}.network]\n{table}\n{SHAPE}\n"
        )
    (folder / "registry.toml").write_text("\n".join(registry))
    return folder
