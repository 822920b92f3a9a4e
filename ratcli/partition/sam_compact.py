"""`sam-compact`: regions by a small SAM of our own, which ships with `rat`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ratcli.errors import WeightsError
from ratcli.partition.cleanup import Cleanup
from ratcli.partition.sam import SamPartitioner
from ratcli.partition.sam_installed import find_compact
from ratcli.partition.sam_masks import MaskSettings
from ratcli.partition.sam_model import SamShape
from ratcli.partition.sam_weights import load_sam
from ratcli.weightfiles import hash_file

# Chosen on slices it was trained on: benchmarks/partition.py --tune.
MASKS = MaskSettings(points_per_side=16, quality=0.3, stability=0.5, overlap=0.8, batch=32)
CLEANUP = Cleanup(split=True, specks=64)


def read_compact(path: Path) -> tuple[SamShape, dict[str, Tensor]]:
    """Read the shape and the weights of a compact SAM: safetensors with the shape in the header.

    Raises:
        WeightsError: damaged, or no compact SAM.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            table: dict[str, Any] = json.loads(facts["sam_shape"])
            return _shape(table), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path.name} is damaged, or is not a compact SAM",
            hint="Install rat again, or copy the file again.",
        ) from error


def _shape(table: Mapping[str, Any]) -> SamShape:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    return SamShape(**values)


def make(
    name: str, *, device: str = "cpu", weights: Path | None = None, **options: Any
) -> SamPartitioner:
    """Load the compact SAM.

    Args:
        name: `sam-compact`.
        device: where it shall run.
        weights: a file that `read_compact` reads; None for the installed one.
        options: `masks` and `cleanup` of `SamPartitioner`.

    Raises:
        WeightsError: the weights are missing, damaged or of another architecture.
    """
    path = weights or find_compact()
    shape, state = read_compact(path)
    sam = load_sam(shape, state).to(torch.device(device))
    settings = {"masks": MASKS, "cleanup": CLEANUP, "picture": "layered", **options}
    return SamPartitioner(name, sam, hash_file(path), **settings)
