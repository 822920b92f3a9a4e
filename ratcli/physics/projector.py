"""Line integrals of a plane along parallel rays, and the ramp that reconstructs them, in torch.

Coordinates: x to the right, y down, both 0 at the centre of the plane. The ray `(theta, t)` is the
line `x cos(theta) + y sin(theta) = t`.

A square plane turned by 90 degrees is the same plane seen from other views, so all views of one
quadrant serve the others too: the turned planes travel as channels over one grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK_ELEMENTS = {"cpu": 1 << 21, "cuda": 1 << 26}


@dataclass(frozen=True)
class Geometry:
    """Parallel rays: views and detector.

    Attributes:
        views: projections over 180 degrees; a multiple of 4.
        bins: detector bins.
        pitch_mm: distance of neighbouring bins, as seen at the centre of rotation.
    """

    views: int
    bins: int
    pitch_mm: float

    def __post_init__(self) -> None:
        if self.views % 4 or self.views <= 0:
            raise ValueError(f"views must be a positive multiple of 4, not {self.views}")

    @property
    def turns(self) -> int:
        """Quadrants that the views cover."""
        return 2

    def first_quadrant(self, device: torch.device) -> Tensor:
        """Return the angles of the first quadrant's views, `(views / turns,)` in radians."""
        count = self.views // self.turns
        return torch.arange(count, device=device, dtype=torch.float32) * (math.pi / 2 / count)

    def bin_positions(self, device: torch.device) -> Tensor:
        """Return the bins' signed distances from the central ray, `(bins,)` in mm."""
        index = torch.arange(self.bins, device=device, dtype=torch.float32)
        return (index - (self.bins - 1) / 2) * self.pitch_mm

    def rays(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return angle and offset in mm of all rays of the first quadrant's views, flat."""
        theta = self.first_quadrant(device)[:, None].expand(-1, self.bins)
        return theta.flatten(), self.bin_positions(device)[None, :].expand_as(theta).flatten()

    def ramp_distance(self, bins: Tensor) -> Tensor:
        """Return the distance in mm over which the ramp acts on bins so many places apart."""
        return bins * self.pitch_mm


def forward_project(planes: Tensor, spacing_mm: float, geometry: Geometry) -> Tensor:
    """Integrate planes along every ray (Joseph's method: linear interpolation, unit steps).

    Args:
        planes: float `(B, N, N)`, per mm; outside it is zero.
        spacing_mm: pixel pitch, the same in both directions.
        geometry: views and detector.

    Returns:
        Line integrals `(B, views, bins)`, without unit.

    Raises:
        ValueError: planes are not square.

    Source: Joseph, IEEE TMI 1(3):192, 1982.
    """
    batch, size = _square(planes)
    theta, t = geometry.rays(planes.device)
    turned = torch.cat([planes.rot90(turn, (1, 2)) for turn in range(geometry.turns)])
    sums = turned.new_zeros(turned.shape[0], theta.numel())
    steep = theta.cos().abs() >= theta.sin().abs()
    for rays, source, cos, sin in (
        (steep.nonzero()[:, 0], turned, theta.cos(), theta.sin()),
        ((~steep).nonzero()[:, 0], turned.mT, theta.sin(), theta.cos()),
    ):
        step = _chunk(planes.device, turned.shape[0] * size)
        for part in (rays[start : start + step] for start in range(0, len(rays), step)):
            sums[:, part] = _march(source, cos[part], sin[part], t[part] / spacing_mm)
    sums = sums * spacing_mm
    # (turns B, views/turns bins) -> (B, turns views/turns, bins)
    sums = sums.view(geometry.turns, batch, -1, geometry.bins)
    return sums.transpose(0, 1).reshape(batch, geometry.views, geometry.bins)


def _square(planes: Tensor) -> tuple[int, int]:
    if planes.ndim != 3 or planes.shape[1] != planes.shape[2]:
        raise ValueError(f"planes must be square, (B, N, N), not {tuple(planes.shape)}")
    return planes.shape[0], planes.shape[1]


def _chunk(device: torch.device, elements: int) -> int:
    budget = _CHUNK_ELEMENTS.get(device.type, _CHUNK_ELEMENTS["cpu"])
    return max(1, budget // max(1, elements))


def _march(planes: Tensor, cos: Tensor, sin: Tensor, t: Tensor) -> Tensor:
    """Sum planes `(C, N, N)` along rays, one sample a row; `t` in pixels. Returns `(C, rays)`."""
    size = planes.shape[-1]
    rows = torch.arange(size, device=planes.device, dtype=planes.dtype) - (size - 1) / 2
    columns = (t[:, None] - rows[None, :] * sin[:, None]) / cos[:, None]  # (rays, N)
    grid = torch.stack((columns, rows.expand_as(columns)), -1) * (2 / size)
    samples = F.grid_sample(planes[None], grid[None], align_corners=False)[0]
    return samples.sum(-1) / cos.abs()


def ramp(geometry: Geometry, length: int, device: torch.device) -> Tensor:
    """Return the spectrum of the band-limited ramp sampled in space, `(length // 2 + 1,)`.

    Sampling it in space, not in frequency, keeps the mean value right (no offset in HU). Scaled so
    that filtering includes the bin's width; in 1/mm for parallel rays.
    """
    index = torch.arange(length, device=device, dtype=torch.float64)
    index = torch.minimum(index, length - index)
    distance = geometry.ramp_distance(index)
    odd = index % 2 == 1
    kernel = torch.where(odd, -1 / (math.pi * distance).square(), torch.zeros_like(distance))
    kernel[0] = 1 / (4 * geometry.pitch_mm**2)
    kernel[distance <= 0] = torch.where(index == 0, kernel, torch.zeros_like(kernel))[distance <= 0]
    spectrum: Tensor = torch.fft.rfft(kernel).real
    return (spectrum * geometry.pitch_mm).float()
