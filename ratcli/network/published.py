"""The authors' parameter names and layouts, mapped to ours."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

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
