"""The smaller versions of a slide, which viewers show from far away."""

from __future__ import annotations

import numpy as np

from ratcli.formats.quantise import StoredArray

LARGEST_LAST = 1024
"""Most rows or columns of the smallest version: what a viewer shows at once."""


def halve(block: StoredArray) -> StoredArray:
    """Return the means of 2 x 2 pixels; an odd last row or column counts twice."""
    odd = (block.shape[0] % 2, block.shape[1] % 2)
    if any(odd):
        block = np.pad(block, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
    is_small = block.dtype.kind in "iu" and block.dtype.itemsize <= 2
    wide = np.dtype(np.int32 if is_small else np.float64)
    sums = block[::2, ::2].astype(wide)
    for rows, columns in ((0, 1), (1, 0), (1, 1)):
        sums += block[rows::2, columns::2]
    if is_small:
        return ((sums + 2) >> 2).astype(block.dtype)
    means = sums / 4
    return (np.rint(means) if block.dtype.kind in "iu" else means).astype(block.dtype)


def level_sizes(height: int, width: int, least: int) -> list[tuple[int, int]]:
    """Return the sizes of the smaller versions of a plane, each half of the one before.

    Args:
        height: rows of the plane.
        width: its columns.
        least: how many to make even for a small plane.
    """
    sizes: list[tuple[int, int]] = []
    while (len(sizes) < least or max(height, width) > LARGEST_LAST) and max(height, width) > 1:
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    return sizes
