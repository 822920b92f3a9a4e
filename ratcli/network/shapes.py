"""The shape of a network, read off the shapes of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ratcli.errors import WeightsError
from ratcli.network.rat import RAT, NetworkSettings

_HINT = "Only networks of the Region Attention Transformer can be imported."


@dataclass(frozen=True)
class Unseen:
    """Settings of a network that do not follow from the shapes of its parameters.

    Attributes:
        scale: output pixels for each input pixel and axis.
        heads: attention heads.
        window: side of the attention windows on the latent grid.
    """

    scale: int = 1
    heads: int = 8
    window: int = 4


def infer_settings(state: Mapping[str, Tensor], unseen: Unseen) -> NetworkSettings:
    """Return the settings of the network that parameters belong to.

    Args:
        state: parameters under our names, see `checkpoint.from_published`.
        unseen: what the shapes leave open.

    Raises:
        WeightsError: the parameters are of another architecture, or no finite numbers.
    """
    settings = _settings(state, unseen)
    _check_shapes(settings, state)
    for name, value in state.items():
        plain = value.layout is torch.strided and value.is_floating_point()
        if not plain or not bool(torch.isfinite(value).all()):
            raise WeightsError(f"the weights contain values that are not finite in {name[:80]}")
    return settings


def _settings(state: Mapping[str, Tensor], unseen: Unseen) -> NetworkSettings:
    try:
        width, channels = state["intro.weight"].shape[:2]
        inner, tokens = state["groups.0.layers.0.region_mlp.expand.weight"].shape
        if width < 1 or tokens < 1:
            raise ValueError("an empty parameter")
        return NetworkSettings(
            channels=channels,
            width=width,
            encoder_blocks=_counts(state, "encoders.{}."),
            decoder_blocks=_counts(state, "decoders.{}."),
            groups=_counts(state, "groups.{}.layers."),
            heads=unseen.heads,
            window=unseen.window,
            mlp_ratio=inner / tokens,
            scale=unseen.scale,
        )
    except KeyError as error:
        raise WeightsError(
            f"the weights are of another architecture: {error.args[0]} is missing", hint=_HINT
        ) from error
    except ValueError as error:
        raise WeightsError(
            f"the weights are of another architecture: {error}", hint=_HINT
        ) from error


def _counts(state: Mapping[str, Tensor], pattern: str) -> tuple[int, ...]:
    """Return how many modules each numbered container has; `encoders.{}.` for blocks."""
    counts: list[int] = []
    while inside := _numbers(state, pattern.format(len(counts))):
        counts.append(len(inside))
    return tuple(counts)


def _numbers(state: Mapping[str, Tensor], prefix: str) -> set[str]:
    return {name[len(prefix) :].split(".", 1)[0] for name in state if name.startswith(prefix)}


def _check_shapes(settings: NetworkSettings, state: Mapping[str, Tensor]) -> None:
    """Compare names and shapes with those of such a network, before any memory is taken."""
    try:
        with torch.device("meta"):
            expected = RAT(settings).state_dict()
    except (ValueError, RuntimeError) as error:
        raise WeightsError("the weights are of another architecture", hint=_HINT) from error
    wrong = [
        name
        for name in sorted({*expected, *state})
        if name not in expected or name not in state or expected[name].shape != state[name].shape
    ]
    if wrong:
        raise WeightsError(
            f"the weights are of another architecture: {len(wrong)} of {len(expected)} "
            f"parameters differ, first {wrong[0][:80]}",
            hint=_HINT,
        )
    tokens = settings.width * settings.stride
    if tokens % settings.heads:
        raise WeightsError(f"tokens of {tokens} channels do not divide into {settings.heads} heads")
