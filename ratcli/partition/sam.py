"""`sam-vit-b`, `sam-vit-l`, `sam-vit-h`: regions by the official Segment Anything models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anything.modeling import Sam

from ratcli.partition.cleanup import Cleanup, paint
from ratcli.partition.display import layered_picture, soft_picture
from ratcli.partition.sam_masks import MaskSettings, embed, propose
from ratcli.partition.sam_model import OFFICIAL
from ratcli.partition.sam_weights import CHECKPOINTS, load_sam, load_state, locate, verify
from ratcli.regions import Regions
from ratcli.scan import FloatArray


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


def make(
    name: str,
    *,
    device: str = "cpu",
    home: Path | None = None,
    **options: Any,
) -> SamPartitioner:
    """Load an official SAM that is installed.

    Args:
        name: a key of `CHECKPOINTS`.
        device: where it shall run.
        home: folder of the weights.
        options: `masks` and `cleanup` of `SamPartitioner`.

    Raises:
        WeightsError: the weights are missing, damaged or of another architecture.
    """
    checkpoint = CHECKPOINTS[name]
    path = locate(checkpoint, home)
    verify(checkpoint, path)
    sam = load_sam(OFFICIAL[name], load_state(path)).to(device)
    return SamPartitioner(name, sam, checkpoint.sha256, **options)
