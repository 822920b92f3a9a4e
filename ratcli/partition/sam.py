"""Regions by the official Segment Anything models, and by a small one that ships with `rat`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from segment_anything.modeling import Sam
from torch import Tensor

from ratcli.errors import WeightsError
from ratcli.partition.cleanup import Cleanup, paint
from ratcli.partition.display import layered_picture, soft_picture
from ratcli.partition.sam_installed import find_compact
from ratcli.partition.sam_masks import MaskSettings, embed, propose
from ratcli.partition.sam_model import OFFICIAL, SamShape
from ratcli.partition.sam_weights import CHECKPOINTS, load_sam, load_state, locate, verify
from ratcli.regions import Regions
from ratcli.scan import FloatArray
from ratcli.schema import checked
from ratcli.weightfiles import hash_file

# Chosen on slices it was trained on: benchmarks/partition.py --tune.
MASKS = MaskSettings(points_per_side=16, quality=0.3, stability=0.5, overlap=0.8, batch=32)
CLEANUP = Cleanup(split=True, specks=64)


@dataclass(frozen=True)
class SamPartitioner:
    """Regions by a SAM: masks at a grid of points, painted by the authors' rule.

    Attributes:
        name: as on the command line.
        sam: the model, on the device where it shall run.
        weights_sha256: hash of its weights.
        masks: how masks are proposed.
        cleanup: what is done to the regions; by default nothing.
        picture: `soft` or `layered`, see `display`.
    """

    name: str
    sam: Sam
    weights_sha256: str
    masks: MaskSettings = field(default_factory=MaskSettings)
    cleanup: Cleanup = field(default_factory=Cleanup)
    picture: str = "soft"

    @property
    def settings(self) -> tuple[str, ...]:
        """The name, the weights' hash, and all settings of masks and clean-up."""
        return (
            self.name,
            f"weights={self.weights_sha256}",
            f"picture={self.picture}",
            *self.masks.describe(),
            *self.cleanup.describe(),
        )

    def partition(self, plane: FloatArray) -> Regions:
        """Label every pixel of a plane `(C, H, W)`."""
        return self.partition_planes([plane])[0]

    @torch.inference_mode()
    def partition_planes(self, planes: Sequence[FloatArray]) -> list[Regions]:
        """Label planes of one size; they are encoded as one batch."""
        show = layered_picture if self.picture == "layered" else soft_picture
        pictures = np.stack([show(plane) for plane in planes])
        embeddings, frame = embed(self.sam, pictures)
        regions = []
        for embedding in embeddings:
            masks = propose(self.sam, embedding[None], frame, self.masks)
            regions.append(self.cleanup.apply(paint(masks, *frame.plane)))
        return regions


def read_compact(path: Path) -> tuple[SamShape, dict[str, Tensor]]:
    """Read the shape and the weights of a compact SAM: safetensors with the shape in the header.

    Raises:
        WeightsError: damaged, or no compact SAM.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            shape = checked(SamShape, json.loads(facts["sam_shape"]), path.name, WeightsError)
            return shape, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path.name} is damaged, or is not a compact SAM",
            hint="Install rat again, or copy the file again.",
        ) from error


def make(
    name: str,
    *,
    device: str = "cpu",
    home: Path | None = None,
    weights: Path | None = None,
    **options: Any,
) -> SamPartitioner:
    """Load an official SAM that is installed, or the compact one.

    Args:
        name: a key of `CHECKPOINTS`, or `sam-compact`.
        device: where it shall run.
        home: folder of the official weights.
        weights: of the compact SAM, a file that `read_compact` reads; None for the installed one.
        options: `masks` and `cleanup` of `SamPartitioner`.

    Raises:
        WeightsError: the weights are missing, damaged or of another architecture.
    """
    if name in CHECKPOINTS:
        checkpoint = CHECKPOINTS[name]
        path = locate(checkpoint, home)
        verify(checkpoint, path)
        sam = load_sam(OFFICIAL[name], load_state(path)).to(device)
        return SamPartitioner(name, sam, checkpoint.sha256, **options)
    path = weights or find_compact()
    shape, state = read_compact(path)
    sam = load_sam(shape, state).to(device)
    settings = {"masks": MASKS, "cleanup": CLEANUP, "picture": "layered", **options}
    return SamPartitioner(name, sam, hash_file(path), **settings)
