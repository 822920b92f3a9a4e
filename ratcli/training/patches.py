"""Patches of examples: cut at random places, turned and mirrored, stacked to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.training.examples import Example

# A patch with a lower standard deviation shows only air or glass; another place is tried.
_LEAST_DEVIATION = 0.05
_TRIES = 4


@dataclass(frozen=True)
class PatchBatch:
    """Patches of one step.

    Attributes:
        degraded: `(B, C, h, w)`.
        target: `(B, C, s*h, s*w)`, s the task's scale.
        labels: `(B, s*h, s*w)`.
    """

    degraded: Tensor
    target: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> PatchBatch:
        """Return the batch on a device."""
        return PatchBatch(*(p.to(device) for p in (self.degraded, self.target, self.labels)))

    def part(self, number: int, parts: int) -> PatchBatch:
        """Return one of several equal parts, in order."""
        count = len(self.degraded) // parts
        own = slice(number * count, (number + 1) * count)
        return PatchBatch(self.degraded[own], self.target[own], self.labels[own])


def cut_patches(
    rng: np.random.Generator, examples: Sequence[Example], side: int, scale: int
) -> PatchBatch:
    """Cut one patch out of each example.

    Args:
        rng: source of randomness.
        examples: those of the batch.
        side: of a patch on the target's grid, in pixels.
        scale: target pixels for each degraded pixel and axis.
    """
    cuts = [_cut(example, rng, side // scale, scale) for example in examples]
    degraded, target, labels = zip(*cuts, strict=True)
    return PatchBatch(
        torch.from_numpy(np.stack(degraded)),
        torch.from_numpy(np.stack(target)),
        torch.from_numpy(np.stack(labels)),
    )


def _cut(
    example: Example, rng: np.random.Generator, side: int, scale: int
) -> tuple[FloatArray, FloatArray, LabelArray]:
    """Cut one patch; planes smaller than a patch are extended by reflection."""
    example = _at_least(example, side, scale)
    _, height, width = example.degraded.shape
    for _ in range(_TRIES):
        top, left = (int(rng.integers(n - side + 1)) for n in (height, width))
        place = (slice(top, top + side), slice(left, left + side))
        own = example.degraded[: len(example.target)]
        if _inside(own, place).std() > _LEAST_DEVIATION:
            break
    on_target = (_scaled(place[0], scale), _scaled(place[1], scale))
    turn = _Symmetry(rng)
    return (
        turn(_inside(example.degraded, place)),
        turn(_inside(example.target, on_target)),
        turn(example.labels[on_target[0], on_target[1]]),
    )


def _at_least(example: Example, side: int, scale: int) -> Example:
    """Extend a plane that is smaller than a patch."""
    _, height, width = example.degraded.shape
    down, right = max(0, side - height), max(0, side - width)
    if not down and not right:
        return example

    def grown(array: Any, factor: int) -> Any:
        edges = [(0, 0)] * (array.ndim - 2) + [(0, down * factor), (0, right * factor)]
        return np.pad(array, edges, mode="symmetric")

    return Example(
        grown(example.degraded, 1),
        grown(example.target, scale),
        grown(example.labels, scale),
        example.name,
    )


def _scaled(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)


def _inside(planes: FloatArray, part: tuple[slice, slice]) -> FloatArray:
    return planes[:, part[0], part[1]]


class _Symmetry:
    """A random mirroring, and sometimes a transposition, of the last two axes.

    Transposing is rare, since the noise of a body that is wider than tall has a direction.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._flips = tuple(axis for axis in (-1, -2) if rng.random() < 0.5)
        self._transpose = rng.random() < 0.25

    def __call__(self, array: Any) -> Any:
        if self._flips:
            array = np.flip(array, self._flips)
        if self._transpose:
            array = array.swapaxes(-1, -2)
        return np.ascontiguousarray(array)
