"""Blocks: planes too large to hold are read, restored and written part by part."""

from __future__ import annotations

from dataclasses import dataclass

from ratcli.scan import Box, ScanInfo

# Planes with more pixels on the output's grid are restored block by block.
BLOCK_ABOVE_PIXELS = 4096 * 4096
BLOCK_SIDE = 1024
BLOCK_MARGIN = 64


@dataclass(frozen=True)
class Block:
    """A part of a plane; None stands for all of it.

    Attributes:
        read: what is read, with a margin.
        write: where it is written, on the input's grid.
        inner: the part of what was read that is written.
    """

    read: Box | None = None
    write: Box | None = None
    inner: Box | None = None

    @property
    def shape(self) -> tuple[int, int] | None:
        """Rows and columns that are read; None for a whole plane."""
        return None if self.read is None else (self.read.height, self.read.width)


def blocks_of(info: ScanInfo, scale: int) -> list[Block]:
    """Return one block for the whole plane, or many with margins where it is too large for that.

    Args:
        info: the scan.
        scale: output pixels for each input pixel and axis.
    """
    height, width = info.height, info.width
    if height * width * scale**2 <= BLOCK_ABOVE_PIXELS:
        return [Block()]
    side = max(BLOCK_MARGIN, BLOCK_SIDE // scale)
    found = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            write = Box(top, left, min(side, height - top), min(side, width - left))
            found.append(_with_margin(write, height, width))
    return found


def _with_margin(write: Box, height: int, width: int) -> Block:
    top, left = max(0, write.top - BLOCK_MARGIN), max(0, write.left - BLOCK_MARGIN)
    bottom = min(height, write.top + write.height + BLOCK_MARGIN)
    right = min(width, write.left + write.width + BLOCK_MARGIN)
    read = Box(top, left, bottom - top, right - left)
    inner = Box(write.top - top, write.left - left, write.height, write.width)
    return Block(read, write, inner)
