"""Networks from files: safetensors of ours, and the authors' `.pth`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ratcli.errors import WeightsError
from ratcli.network.rat import RAT, NetworkSettings
from ratcli.network.registry import WeightsEntry, verify_weights
from ratcli.schema import checked
from ratcli.weightfiles import REGISTRY, write_whole

# Parts of the authors' names, longest first, and ours.
_PARTS = (
    ("middle_blks.", "groups."),
    (".lambda_ra", ".region_gate"),
    (".lambda_wa", ".window_gate"),
    (".norm_ra_mlp.", ".region_mlp_norm."),
    (".norm_wa_mlp.", ".window_mlp_norm."),
    (".norm_ra.", ".region_norm."),
    (".norm_wa.", ".window_norm."),
    (".mlp_ra.", ".region_mlp."),
    (".mlp_wa.", ".window_mlp."),
    (".ra.", ".region_attention."),
    (".wa.", ".window_attention."),
    (".project_out.", ".project."),
    (".proj_out.", ".project."),
    (".fc1.", ".expand."),
    (".fc2.", ".contract."),
    (".sca.1.", ".channel_attention."),
)
_UPS_TAIL = ".0.weight"


def load_network(entry: WeightsEntry, device: torch.device) -> RAT:
    """Verify registered weights and build their network, in float32, for inference.

    Raises:
        WeightsError: the hash differs, the file is damaged, or it fits no such network.
    """
    verify_weights(entry)
    settings = settings_from(entry.network, f"{REGISTRY}, [{entry.name}.network]")
    return build_network(settings, read_state(entry.file), device)


def build_network(
    settings: NetworkSettings, state: Mapping[str, Tensor], device: torch.device
) -> RAT:
    """Build a network and fill in its parameters.

    Raises:
        WeightsError: names or shapes do not fit the settings.
    """
    with torch.device("meta"):
        network = RAT(settings)
    try:
        floats = {name: value.float() for name, value in state.items()}
        network.load_state_dict(floats, assign=True)
    except RuntimeError as error:
        wrong = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"the weights are of another architecture: {wrong}") from error
    network.to(device).eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


def settings_from(table: Mapping[str, Any], name: str = "the network") -> NetworkSettings:
    """Make network settings of a table, as the registry stores them; nothing is built yet.

    Args:
        table: the settings.
        name: what has them, for the error.

    Raises:
        WeightsError: a setting is unknown, of another type, or out of bounds.
    """
    return checked(NetworkSettings, table, name, WeightsError)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read parameters from safetensors, or from the authors' `.pth` without running its code.

    Raises:
        WeightsError: damaged, or a pickle that holds more than tensors.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path.name} is damaged: {error}") from error
    return from_published(_read_pickle(path))


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path.name} is damaged, or holds more than tensors and was refused"
        ) from error
    for key in ("params_ema", "params", "state_dict", "net"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path.name} contains no parameters")
    _check_bytes(path, content)
    return {name.removeprefix("module."): value for name, value in content.items()}


def _check_bytes(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse a file that is smaller than its tensors claim to be, before any of them is copied."""
    claimed = sum(value.numel() * value.element_size() for value in state.values())
    if claimed > path.stat().st_size:
        raise WeightsError(
            f"{path.name} has {path.stat().st_size} bytes, but its tensors claim {claimed}"
        )


def save_state(path: Path, state: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Write parameters as safetensors, all in one dtype; a file of that name is replaced whole."""
    whole = {name: value.to(dtype).contiguous() for name, value in state.items()}
    write_whole(path, save(whole))


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape the authors' state dict; values do not change.

    Their attention and MLP weights are 1x1 convolutions `(O, I, 1, 1)`, ours linear `(O, I)`.
    """
    return {_our_name(name): _our_shape(name, value) for name, value in state.items()}


def _our_name(name: str) -> str:
    for theirs, ours in _PARTS:
        name = name.replace(theirs, ours)
    if name.startswith("ups.") and name.endswith(_UPS_TAIL):
        name = name[: -len(_UPS_TAIL)] + ".weight"
    return name


def _our_shape(name: str, value: Tensor) -> Tensor:
    if ".lambda_" in name:
        return value.flatten()
    is_linear = name.startswith("middle_blks.") and ".layers." in name
    return value.flatten(1) if is_linear and value.ndim == 4 else value
