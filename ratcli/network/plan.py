"""The plan of region attention: which tokens attend to which, made once for a partition."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Regions up to this size share padded rows of this many tokens; larger ones run alone.
BIN_TOKENS = 64


@dataclass(frozen=True)
class Bins:
    """Small regions packed into rows of `BIN_TOKENS` slots.

    Attributes:
        slots: int64 `(rows * BIN_TOKENS,)`, sorted position of the token in each slot; empty
            slots repeat position 0.
        places: int64 `(T,)`, slot of each of the T packed tokens, in sorted order.
        owner: int64 `(rows, BIN_TOKENS)`, region of each slot, -1 where empty.
    """

    slots: Tensor
    places: Tensor
    owner: Tensor

    @property
    def mask(self) -> Tensor:
        """Return bool `(rows, 1, BIN_TOKENS, BIN_TOKENS)`, true where two slots share a region."""
        return (self.owner[:, None, :, None] == self.owner[:, None, None, :]).contiguous()


@dataclass(frozen=True)
class RegionPlan:
    """Tokens of a batch sorted by plane and region; every layer uses the same plan.

    Small regions come first in the sorted order, so that they form one packed block.

    Attributes:
        order: int64 `(B*N,)`, token at each sorted position.
        inverse: int64 `(B*N,)`, sorted position of each token.
        sizes: tokens of each region in sorted order.
        small: number of leading regions that are packed into bins.
        offsets: int32 `(R+1,)`, first sorted position of each region, and the end.
        bins: the packing of the small regions, or None where there are none.
    """

    order: Tensor
    inverse: Tensor
    sizes: tuple[int, ...]
    small: int
    offsets: Tensor
    bins: Bins | None

    def to(self, device: torch.device) -> RegionPlan:
        """Return the plan on a device."""
        return RegionPlan(
            self.order.to(device),
            self.inverse.to(device),
            self.sizes,
            self.small,
            self.offsets.to(device),
            _moved(self.bins, device),
        )

    @property
    def packed_tokens(self) -> int:
        """Tokens at the head of the sorted order that belong to small regions."""
        return sum(self.sizes[: self.small])

    @property
    def longest(self) -> int:
        """Tokens of the largest region."""
        return max(self.sizes)

    @property
    def pairs(self) -> int:
        """Token pairs that attend to each other: the sum of squared region sizes."""
        return sum(size * size for size in self.sizes)


def make_plan(labels: Tensor, window: int, max_region_tokens: int = 0) -> RegionPlan:
    """Sort the tokens of a batch of latent label maps by region.

    Tokens are counted in window order (see `attention.to_windows`).

    Args:
        labels: integers `(B, h, w)` on the latent grid; h and w multiples of `window`.
        window: side of the attention windows.
        max_region_tokens: regions with more tokens are split along a grid into pieces of at most
            about this many; 0 keeps every region whole.

    Source: Yang et al., Region Attention Transformer, MICCAI 2024, R-MSA.
    """
    device = labels.device
    keys = _region_keys(labels.cpu().long(), max_region_tokens)
    keys = windowed(keys, window).flatten()
    _, region, counts = torch.unique(keys, return_inverse=True, return_counts=True)
    by_size = torch.argsort(counts, stable=True)
    rank = torch.empty_like(by_size)
    rank[by_size] = torch.arange(by_size.numel())
    order = torch.argsort(rank[region], stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.numel())
    sizes = tuple(int(size) for size in counts[by_size])
    small = sum(size <= BIN_TOKENS for size in sizes)
    offsets = torch.zeros(len(sizes) + 1, dtype=torch.int32)
    offsets[1:] = torch.cumsum(counts[by_size], 0)
    bins = _pack(sizes[:small]) if small else None
    return RegionPlan(order, inverse, sizes, small, offsets, bins).to(device)


def windowed(grid: Tensor, window: int) -> Tensor:
    """Reorder `(B, h, w)` so that the tokens of a window are neighbours: `(B, h*w)`."""
    batch, height, width = grid.shape
    grid = grid.reshape(batch, height // window, window, width // window, window)
    return grid.transpose(2, 3).reshape(batch, height * width)


def _region_keys(labels: Tensor, max_tokens: int) -> Tensor:
    """Return `(B, h, w)` keys that differ between planes, regions and pieces of large regions."""
    labels = labels - labels.min()
    span = int(labels.max()) + 1
    batch = torch.arange(labels.shape[0]).view(-1, 1, 1)
    keys = labels + batch * span
    if max_tokens <= 0:
        return keys
    _, dense, counts = torch.unique(keys, return_inverse=True, return_counts=True)
    large = counts > max_tokens
    if not bool(large.any()):
        return keys
    cell = grid_cells(labels.shape[1], labels.shape[2], max_tokens)
    cells = int(cell.max()) + 1
    return dense * cells + torch.where(large[dense], cell, torch.zeros_like(cell))


def grid_cells(height: int, width: int, max_tokens: int) -> Tensor:
    """Return int64 `(height, width)`, from 1: the cell of the grid that splits large regions.

    Args:
        height: rows of the latent grid.
        width: its columns.
        max_tokens: most tokens of a cell.
    """
    side = max(1, int(max_tokens**0.5))
    rows, columns = (torch.arange(size) // side for size in (height, width))
    return rows[:, None] * (width // side + 1) + columns + 1


def _pack(sizes: tuple[int, ...]) -> Bins:
    """Fill rows of `BIN_TOKENS` slots with whole regions, largest first."""
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    rows: list[list[int]] = []
    room: dict[int, list[int]] = {}
    for region in reversed(range(len(sizes))):
        size = sizes[region]
        fit = next((space for space in range(size, BIN_TOKENS + 1) if room.get(space)), None)
        if fit is None:
            row, space = len(rows), BIN_TOKENS
            rows.append([])
        else:
            row, space = room[fit].pop(), fit
        rows[row].append(region)
        room.setdefault(space - size, []).append(row)
    return _bins(rows, sizes, starts)


def _bins(rows: list[list[int]], sizes: tuple[int, ...], starts: list[int]) -> Bins:
    """Turn the regions of each row into slot, place and owner tensors."""
    slots = torch.zeros(len(rows) * BIN_TOKENS, dtype=torch.int64)
    places = torch.zeros(starts[-1], dtype=torch.int64)
    owner = torch.full((len(rows) * BIN_TOKENS,), -1, dtype=torch.int64)
    for row, regions in enumerate(rows):
        at = row * BIN_TOKENS
        for region in regions:
            tokens = torch.arange(starts[region], starts[region] + sizes[region])
            span = slice(at, at + sizes[region])
            slots[span] = tokens
            places[tokens] = torch.arange(span.start, span.stop)
            owner[span] = region
            at += sizes[region]
    return Bins(slots, places, owner.view(len(rows), BIN_TOKENS))


def _moved(bins: Bins | None, device: torch.device) -> Bins | None:
    if bins is None or device.type == "cpu":
        return bins
    return Bins(bins.slots.to(device), bins.places.to(device), bins.owner.to(device))
