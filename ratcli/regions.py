"""Regions: a region map, an integer image in which every pixel has a region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.scan import Box

LabelArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Regions:
    """A partition of a plane.

    Attributes:
        labels: int32 `(H, W)`, values 0 to `count - 1`, each of them present.
        count: number of regions.
    """

    labels: LabelArray
    count: int

    @classmethod
    def from_labels(cls, labels: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Regions:
        """Make regions of any integer label map: one region for each value, renumbered from 0.

        Args:
            labels: integers `(H, W)`, any values, negative ones too.

        Raises:
            ValueError: not two axes, or no pixels.
        """
        if labels.ndim != 2 or labels.size == 0:
            raise ValueError(f"labels must be (H, W) with pixels in it, not {labels.shape}")
        values, inverse = np.unique(labels, return_inverse=True)
        numbered = inverse.reshape(labels.shape).astype(np.int32)
        return cls(numbered, int(values.size))

    @classmethod
    def single(cls, height: int, width: int) -> Regions:
        """Return one region over the whole plane."""
        return cls(np.zeros((height, width), np.int32), 1)

    @property
    def areas(self) -> npt.NDArray[np.int64]:
        """Pixels of each region, `(count,)`."""
        return np.bincount(self.labels.ravel(), minlength=self.count)

    def crop(self, box: Box) -> LabelArray:
        """Return the labels inside a box, with the numbers of the whole plane."""
        return self.labels[box.slices]
