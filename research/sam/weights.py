"""Writes the weights of a compact SAM, and fits them to another size of pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from ratcli.partition.sam_model import SamShape, build_empty
from ratcli.weightfiles import write_whole


def save_compact(path: Path, shape: SamShape, state: Mapping[str, Tensor]) -> None:
    """Write weights in half precision, with their shape in the header, in one step."""
    half = {name: value.detach().half().contiguous().cpu() for name, value in state.items()}
    facts = {"format": "pt", "sam_shape": json.dumps(dataclasses.asdict(shape))}
    write_whole(path, save(half, metadata=facts))


def resize_weights(state: Mapping[str, Tensor], shape: SamShape) -> dict[str, Tensor]:
    """Fit weights of a SAM of one image size to a shape that differs in its image size alone.

    Positions of tokens are interpolated, as are distances between them; all else stays.

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words, 2021, section 3.2, for positions.
    """
    wanted = build_empty(shape).state_dict()
    return {name: _resized(value, wanted[name].shape) for name, value in state.items()}


def _resized(value: Tensor, size: torch.Size) -> Tensor:
    """Positions `(1, h, w, C)` bilinearly, distances `(2 h - 1, d)` linearly; the rest as it is."""
    if value.shape == size:
        return value
    if value.dim() == 2:
        return F.interpolate(value.mT[None], size=size[0], mode="linear")[0].mT.contiguous()
    moved = value.permute(0, 3, 1, 2)
    grown = F.interpolate(moved, size=size[1:3], mode="bilinear", align_corners=False)
    return grown.permute(0, 2, 3, 1).contiguous()
