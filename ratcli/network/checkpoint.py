"""Networks from files: safetensors of ours, and the authors' `.pth`."""

from __future__ import annotations

import dataclasses
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
from ratcli.weightfiles import write_whole

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
    return build_network(settings_from(entry.network), read_state(entry.file), device)


# Lowest and highest value of each setting; the published networks are far inside.
_BOUNDS: dict[str, tuple[float, float]] = {
    "channels": (1, 16),
    "width": (1, 1024),
    "encoder_blocks": (1, 64),
    "decoder_blocks": (1, 64),
    "groups": (1, 64),
    "heads": (1, 64),
    "window": (1, 64),
    "mlp_ratio": (0.125, 16),
    "scale": (1, 8),
    "max_region_tokens": (0, 1 << 31),
    "context": (0, 2),
}
_LISTS = ("encoder_blocks", "decoder_blocks", "groups")
_MOST_ENTRIES = 16


def build_network(
    settings: NetworkSettings, state: Mapping[str, Tensor], device: torch.device
) -> RAT:
    """Build a network and fill in its parameters.

    Raises:
        WeightsError: names or shapes do not fit the settings.
    """
    with torch.device("meta"):
        network = RAT(settings)
    network.to_empty(device="cpu")
    try:
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except RuntimeError as error:
        wrong = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"the weights are of another architecture: {wrong}") from error
    network.to(device).eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


def settings_from(table: Mapping[str, Any]) -> NetworkSettings:
    """Make network settings of a table, as the registry stores them; nothing is built yet.

    Raises:
        WeightsError: a setting is unknown, of another type, or out of bounds.
    """
    known = {field.name for field in dataclasses.fields(NetworkSettings)}
    if unknown := set(table) - known:
        raise WeightsError(f"unknown network settings: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    for key, value in values.items():
        _check_setting(key, value)
    settings = NetworkSettings(**values)
    if len(settings.encoder_blocks) != len(settings.decoder_blocks):
        raise WeightsError("encoder_blocks and decoder_blocks of a network must be equally long")
    if settings.context and settings.scale != 1:
        raise WeightsError("a network that makes a finer grid cannot use neighbouring planes")
    if settings.width * settings.stride % settings.heads:
        raise WeightsError(
            f"{settings.width * settings.stride} channels of a network cannot be divided between "
            f"{settings.heads} heads"
        )
    return settings


def _check_setting(key: str, value: Any) -> None:
    """Refuse what no network can have, before memory is taken for it."""
    if key == "equivariant":
        if not isinstance(value, bool):
            raise WeightsError(f"the network setting {key} is {value!r}, expected true or false")
        return
    low, high = _BOUNDS[key]
    several = value if isinstance(value, tuple) else (value,)
    kind = (int, float) if key == "mlp_ratio" else int
    is_list = key in _LISTS
    fits = is_list == isinstance(value, tuple) and 1 <= len(several) <= _MOST_ENTRIES
    if not fits or not all(
        isinstance(one, kind) and not isinstance(one, bool) and low <= one <= high
        for one in several
    ):
        expected = f"{'a list of numbers' if is_list else 'a number'} from {low:g} to {high:g}"
        raise WeightsError(f"the network setting {key} is {value!r}, expected {expected}")


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
    return {name.removeprefix("module."): value for name, value in content.items()}


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
