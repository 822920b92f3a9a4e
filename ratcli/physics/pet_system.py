"""The system matrix of parallel rays over a plane, split into subsets of views, as sparse CSR.

Unlike the projector of CT, it comes with its exact adjoint, as statistical reconstruction needs.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class System:
    """Joseph's line integrals in pixels, subset by subset.

    Attributes:
        size: rows and columns of the plane.
        views: projections over 180 degrees, a multiple of the subsets.
        bins: rays of a view, one pixel apart; they cover the plane's diagonal.
        forward: for each subset a matrix `(views / subsets * bins, N^2)`.
        adjoint: the transposed matrices.
    """

    size: int
    views: int
    bins: int
    forward: tuple[Tensor, ...]
    adjoint: tuple[Tensor, ...]

    @property
    def subsets(self) -> int:
        """Number of subsets."""
        return len(self.forward)

    def project(self, planes: Tensor) -> Tensor:
        """Return line integrals `(subsets, rays of a subset, B)` of planes `(B, N, N)`."""
        columns = planes.flatten(1).mT.contiguous()  # (N^2, B)
        return torch.stack([matrix @ columns for matrix in self.forward])


@lru_cache(maxsize=5)
def system(size: int, subsets: int = 12, device: str = "cpu") -> System:
    """Build the system of a square plane; kept for the next call. 1.4 views for each column."""
    views = subsets * math.ceil(1.4 * size / subsets)
    bins = 2 * math.ceil(size * math.sqrt(2) / 2) + 1
    forward, adjoint = [], []
    for subset in range(subsets):
        theta = torch.arange(subset, views, subsets, dtype=torch.float64) * (math.pi / views)
        ray, pixel, length = _crossings(theta, bins, size)
        shape = (len(theta) * bins, size * size)
        forward.append(_csr(ray, pixel, length, shape).to(device))
        adjoint.append(_csr(pixel, ray, length, (shape[1], shape[0])).to(device))
    return System(size, views, bins, tuple(forward), tuple(adjoint))


def _crossings(theta: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return ray, pixel and length of all crossings of rays and pixels (Joseph's method)."""
    t = (torch.arange(bins, dtype=torch.float64) - (bins - 1) / 2).repeat(len(theta))
    cos, sin = (f(theta).repeat_interleave(bins) for f in (torch.cos, torch.sin))
    steep = cos.abs() >= sin.abs()
    major, minor = torch.where(steep, cos, sin), torch.where(steep, sin, cos)
    step = torch.arange(size)
    along = (t[:, None] - (step - (size - 1) / 2) * minor[:, None]) / major[:, None]
    along += (size - 1) / 2  # (rays, steps): a column of each row, or a row of each column
    first = along.floor()
    part, steps = along - first, step.expand(len(t), -1)
    ray = torch.arange(len(t))[:, None].expand(-1, size)
    found = []
    for neighbour, share in ((first, 1 - part), (first + 1, part)):
        inside = (neighbour >= 0) & (neighbour < size) & (share > 0)
        other, at = neighbour[inside].long(), steps[inside]
        is_row = steep[:, None].expand(-1, size)[inside]
        pixel = torch.where(is_row, at * size + other, other * size + at)
        length = share[inside] / major.abs()[:, None].expand(-1, size)[inside]
        found.append((ray[inside], pixel, length))
    rays, pixels, lengths = (torch.cat(parts) for parts in zip(*found, strict=True))
    return rays, pixels, lengths


def _csr(row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    order = torch.argsort(row * shape[1] + column)
    counts = torch.bincount(row, minlength=shape[0])
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    with warnings.catch_warnings():  # torch calls CSR a beta, once a process
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
        return torch.sparse_csr_tensor(
            starts.int(), column[order].int(), value[order].float(), shape, check_invariants=False
        )
