"""Gives a region the same number in all planes of a stack, by overlap between neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ratcli.regions import LabelArray


@dataclass
class Propagator:
    """Renumbers planes in their order, so that regions that overlap keep their number.

    A region takes the number of the region of the plane before with which it shares the largest
    part of both (intersection over union); each number is taken once, the best pair first. What
    overlaps nothing enough gets a new number.

    Attributes:
        least: least intersection over union of a match.
        next_number: number that the next new region gets.
    """

    least: float = 0.2
    next_number: int = 0
    _before: LabelArray | None = field(default=None, repr=False)

    def follow(self, labels: LabelArray) -> LabelArray:
        """Return the labels of the next plane, int32 `(H, W)`, with the numbers of the stack.

        Args:
            labels: of one plane, 0 to R - 1.

        Raises:
            ValueError: the plane has another size than the one before.
        """
        count = int(labels.max()) + 1
        numbers = np.full(count, -1, np.int32)
        if self._before is not None:
            if self._before.shape != labels.shape:
                raise ValueError(f"planes of {self._before.shape} and {labels.shape} in one stack")
            self._match(labels, numbers)
        new = np.flatnonzero(numbers < 0)
        numbers[new] = self.next_number + np.arange(new.size, dtype=np.int32)
        self.next_number += new.size
        self._before = numbers[labels]
        return self._before

    def _match(self, labels: LabelArray, numbers: npt.NDArray[np.int32]) -> None:
        """Give regions the numbers of those that they overlap best, in place."""
        assert self._before is not None
        olds, before = np.unique(self._before, return_inverse=True)
        overlap = _overlaps(labels, before.reshape(labels.shape), numbers.size, olds.size)
        now, old = np.nonzero(overlap >= self.least)
        taken: set[int] = set()
        for pair in np.argsort(-overlap[now, old], kind="stable"):
            region, number = int(now[pair]), int(olds[old[pair]])
            if numbers[region] < 0 and number not in taken:
                numbers[region] = number
                taken.add(number)


def _overlaps(
    one: LabelArray, other: npt.NDArray[np.integer], count: int, others: int
) -> npt.NDArray[np.float64]:
    """Intersection over union of each pair of regions, `(count, others)`."""
    pairs = one.astype(np.int64).ravel() * others + other.ravel()
    shared = np.bincount(pairs, minlength=count * others).reshape(count, others).astype(float)
    union = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
    ratio: npt.NDArray[np.float64] = shared / np.maximum(union, 1)
    return ratio
