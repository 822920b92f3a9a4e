"""Prompts for a SAM: points and boxes, and the masks that it should return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ratcli.partition.display import layered_picture
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from research.sam.drawing import DrawnPlane

# Regions of fewer pixels are smaller than a token of the network that uses the partition.
_SMALLEST = 64


@dataclass(frozen=True)
class Prompted:
    """Prompts of I images, P for each, and the masks that belong to them.

    Attributes:
        pictures: uint8 `(I, 3, S, S)`.
        points: `(I, P, 2)`, x and y in pixels.
        boxes: `(I, P, 4)`, left, top, right and bottom.
        targets: bool `(I, P, S/4, S/4)`.
    """

    pictures: Tensor
    points: Tensor
    boxes: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> Prompted:
        """Return the prompts on a device."""
        parts = (self.pictures, self.points, self.boxes, self.targets)
        return Prompted(*(part.to(device) for part in parts))


def draw_prompts(rng: np.random.Generator, planes: Sequence[DrawnPlane], count: int) -> Prompted:
    """Draw prompts: half from pixels, half from regions, so that small regions occur, too.

    Args:
        rng: source of randomness.
        planes: of one size, a multiple of 16.
        count: prompts for each plane.
    """
    asked = [_prompt(rng, plane.labels, count) for plane in planes]
    points, boxes, targets = (np.stack(part) for part in zip(*asked, strict=True))
    pictures = np.stack([layered_picture(plane.values) for plane in planes])
    return Prompted(
        torch.from_numpy(pictures).permute(0, 3, 1, 2),
        torch.from_numpy(points),
        torch.from_numpy(boxes),
        torch.from_numpy(targets),
    )


def _prompt(
    rng: np.random.Generator, labels: LabelArray, count: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Points `(P, 2)`, jittered boxes `(P, 4)` and masks of a label map `(S, S)`."""
    areas = np.bincount(labels.ravel())
    large = np.flatnonzero(areas >= min(_SMALLEST, areas.max()))
    weights = areas[large] / areas[large].sum()
    # In a random order, since the place decides whether a prompt is a point or a box.
    asked = rng.permutation(
        [*rng.choice(large, count // 2), *rng.choice(large, count - count // 2, p=weights)]
    )
    points, boxes, masks = [], [], []
    for region in asked:
        mask = labels == region
        rows, columns = np.nonzero(mask)
        at = int(rng.integers(rows.size))
        points.append((columns[at], rows[at]))
        box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float32)
        extent = np.tile(box[2:] - box[:2] + 1, 2)
        boxes.append(box + rng.normal(0, 0.05, 4) * extent)
        masks.append(mask[2::4, 2::4])
    return np.array(points, np.float32), np.array(boxes, np.float32), np.stack(masks)
