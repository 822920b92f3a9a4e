"""Line integrals of a plane and their filtered back-projection, parallel and fan beam, in torch.

Coordinates: x to the right, y down, both 0 at the centre of the plane. The ray `(theta, t)` is the
line `x cos(theta) + y sin(theta) = t`. A fan view `beta` has its source at
`source_mm (-sin(beta), cos(beta))`; its bin at fan angle `gamma` is the ray
`(beta + gamma, source_mm sin(gamma))`: an equiangular detector, as in third-generation scanners.

A square plane turned by 90 degrees is the same plane seen from other views, so all views of one
quadrant serve the others too: the turned planes travel as channels over one grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

Response = Callable[[Tensor], Tensor]
"""Gain of a reconstruction kernel over frequencies in 1/mm at the centre of rotation."""

_CHUNK_ELEMENTS = {"cpu": 1 << 21, "cuda": 1 << 26}


@dataclass(frozen=True)
class Geometry:
    """Views and detector of a scanner.

    Attributes:
        views: projections over 360 degrees (fan) or 180 degrees (parallel); a multiple of 4.
        bins: detector bins.
        pitch_mm: distance of neighbouring bins, as seen at the centre of rotation.
        source_mm: distance of the source from the centre of rotation; None for parallel rays.
    """

    views: int
    bins: int
    pitch_mm: float
    source_mm: float | None = None

    def __post_init__(self) -> None:
        if self.views % 4 or self.views <= 0:
            raise ValueError(f"views must be a positive multiple of 4, not {self.views}")

    @property
    def turns(self) -> int:
        """Quadrants that the views cover: 4 for a fan, 2 for parallel rays."""
        return 2 if self.source_mm is None else 4

    @property
    def field_mm(self) -> float:
        """Diameter of the circle that every view sees."""
        half = self.pitch_mm * (self.bins - 1) / 2
        if self.source_mm is None:
            return 2 * half
        return 2 * self.source_mm * math.sin(min(half / self.source_mm, math.pi / 2))

    def covering(self, diameter_mm: float) -> Geometry:
        """Return this geometry with as many bins as a wider field needs.

        Raises:
            ValueError: the field would reach the source.
        """
        radius = diameter_mm / 2
        if diameter_mm <= self.field_mm:
            return self
        if self.source_mm is not None:
            if radius >= self.source_mm:
                raise ValueError(f"a field of {diameter_mm:.0f} mm reaches the source")
            radius = self.source_mm * math.asin(radius / self.source_mm)
        return replace(self, bins=2 * math.ceil(radius / self.pitch_mm) + 2)

    def first_quadrant(self, device: torch.device) -> Tensor:
        """Return the angles of the first quadrant's views, `(views / turns,)` in radians."""
        count = self.views // self.turns
        return torch.arange(count, device=device, dtype=torch.float32) * (math.pi / 2 / count)

    def bin_positions(self, device: torch.device) -> Tensor:
        """Return the bins' signed distances from the central ray, `(bins,)` in mm."""
        index = torch.arange(self.bins, device=device, dtype=torch.float32)
        return (index - (self.bins - 1) / 2) * self.pitch_mm


FAN = Geometry(views=1152, bins=736, pitch_mm=0.7046, source_mm=595.0)
"""736 bins of 1.2856 mm at 1085.6 mm from a source 595 mm away: a common 64-row scanner."""

FAN_FAST = replace(FAN, views=576)
"""Half the views: with twice the photons in each, noise of the same power and spectrum."""


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
    theta, t = _rays(geometry, planes.device)
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


def _rays(geometry: Geometry, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return angle and offset in mm of all rays of the first quadrant's views, flat."""
    views = geometry.first_quadrant(device)[:, None]
    position = geometry.bin_positions(device)[None, :]
    if geometry.source_mm is None:
        theta = views.expand(-1, geometry.bins)
        t = position.expand_as(theta)
    else:
        gamma = position / geometry.source_mm
        theta = views + gamma
        t = (geometry.source_mm * gamma.sin()).expand_as(theta)
    return theta.flatten(), t.flatten()


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


def filter_projections(
    sinogram: Tensor, geometry: Geometry, response: Response | None = None
) -> Tensor:
    """Filter projections with the band-limited ramp, times a kernel's response.

    Args:
        sinogram: line integrals `(B, views, bins)`.
        geometry: views and detector.
        response: gain over frequency in 1/mm; None for the ramp alone.

    Returns:
        Filtered projections, of the same shape, for `back_project`.

    Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, ch. 3, eq. 61 and 99.
    """
    padded = 1 << math.ceil(math.log2(2 * geometry.bins))
    gain = ramp(geometry, padded, sinogram.device)
    if response is not None:
        frequency = torch.fft.rfftfreq(padded, geometry.pitch_mm, device=sinogram.device)
        gain = gain * response(frequency)
    if geometry.source_mm is not None:
        gamma = geometry.bin_positions(sinogram.device) / geometry.source_mm
        sinogram = sinogram * gamma.cos()
    spectrum = torch.fft.rfft(sinogram, padded)
    filtered: Tensor = torch.fft.irfft(spectrum * gain, padded)
    return filtered[..., : geometry.bins]


def ramp(geometry: Geometry, length: int, device: torch.device) -> Tensor:
    """Return the spectrum of the band-limited ramp sampled in space, `(length // 2 + 1,)`.

    Sampling it in space, not in frequency, keeps the mean value right (no offset in HU). Scaled so
    that filtering includes the bin's width; in 1/mm for parallel rays.
    """
    index = torch.arange(length, device=device, dtype=torch.float64)
    index = torch.minimum(index, length - index)
    angle = index * geometry.pitch_mm
    if geometry.source_mm is not None:
        # (gamma / sin(gamma))^2 turns the ramp over offsets into one over fan angles.
        angle = geometry.source_mm * torch.sin(angle / geometry.source_mm)
    odd = index % 2 == 1
    kernel = torch.where(odd, -1 / (math.pi * angle).square(), torch.zeros_like(angle))
    kernel[0] = 1 / (4 * geometry.pitch_mm**2)
    kernel[angle <= 0] = torch.where(index == 0, kernel, torch.zeros_like(kernel))[angle <= 0]
    spectrum: Tensor = torch.fft.rfft(kernel).real
    return (spectrum * geometry.pitch_mm).float()


def back_project(filtered: Tensor, size: int, spacing_mm: float, geometry: Geometry) -> Tensor:
    """Smear filtered projections back over a plane (pixel-driven, linear between bins).

    Args:
        filtered: what `filter_projections` returned, `(B, views, bins)`.
        size: rows and columns of the plane.
        spacing_mm: pixel pitch.
        geometry: views and detector.

    Returns:
        `(B, N, N)` per mm.
    """
    batch, turns = filtered.shape[0], geometry.turns
    # (B, turns q, bins) -> (q, turns B, 1, bins): turned planes are channels
    table = filtered.view(batch, turns, -1, geometry.bins).permute(2, 1, 0, 3)
    table = table.reshape(-1, turns * batch, 1, geometry.bins)
    total = filtered.new_zeros(turns * batch, size, size)
    for part, weight, column in _smear(size, spacing_mm, geometry, table):
        grid = torch.stack((column, torch.zeros_like(column)), -1)
        samples = F.grid_sample(table[part], grid, align_corners=False)
        if weight is not None:
            samples *= weight[:, None]
        total += samples.sum(0)
    total = total.view(turns, batch, size, size)
    summed = torch.stack([total[turn].rot90(-turn, (1, 2)) for turn in range(turns)]).sum(0)
    return summed * (math.pi / geometry.views)


def _smear(
    size: int, spacing_mm: float, geometry: Geometry, table: Tensor
) -> Iterator[tuple[slice, Tensor | None, Tensor]]:
    """Yield views of the first quadrant, each pixel's weight, and its column in -1 to 1."""
    device = table.device
    axis = (torch.arange(size, device=device, dtype=torch.float32) - (size - 1) / 2) * spacing_mm
    views = geometry.first_quadrant(device)
    step = _chunk(device, table.shape[1] * size * size)
    scale = 2 / (geometry.bins * geometry.pitch_mm)
    for start in range(0, len(views), step):
        part = slice(start, start + step)
        cos, sin = views[part].cos()[:, None], views[part].sin()[:, None]
        across = (axis * cos)[:, None, :] + (axis * sin)[:, :, None]  # (views, N, N)
        if geometry.source_mm is None:
            yield part, None, across * scale
            continue
        ahead = geometry.source_mm + (axis * sin)[:, None, :] - (axis * cos)[:, :, None]
        weight = geometry.source_mm**2 / (across.square() + ahead.square())
        yield part, weight, torch.atan_(across.div_(ahead)) * (geometry.source_mm * scale)


def reconstruct(
    sinogram: Tensor,
    size: int,
    spacing_mm: float,
    geometry: Geometry,
    response: Response | None = None,
) -> Tensor:
    """Reconstruct planes by filtered back-projection.

    Args:
        sinogram: line integrals `(B, views, bins)`.
        size: rows and columns of the plane.
        spacing_mm: pixel pitch.
        geometry: views and detector.
        response: reconstruction kernel: gain over frequency in 1/mm; None for the ramp alone.

    Returns:
        `(B, N, N)` per mm; zero outside the field that the detector sees.
    """
    filtered = filter_projections(sinogram, geometry, response)
    return back_project(filtered, size, spacing_mm, geometry)
