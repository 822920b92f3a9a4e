"""Filtered back-projection, parallel and fan beam: the slow reference for the gridding.

Coordinates are those of `ratcli.physics.projector`. The turned planes of all
quadrants travel as channels over one grid, as there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from ratcli.physics.projector import Geometry, ramp
from research.fan_beam import FanGeometry

Response = Callable[[Tensor], Tensor]
"""Gain of a reconstruction kernel over frequencies in 1/mm at the centre of rotation."""

_CHUNK_ELEMENTS = {"cpu": 1 << 21, "cuda": 1 << 26}


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
    if isinstance(geometry, FanGeometry):
        gamma = geometry.bin_positions(sinogram.device) / geometry.source_mm
        sinogram = sinogram * gamma.cos()
    spectrum = torch.fft.rfft(sinogram, padded)
    filtered: Tensor = torch.fft.irfft(spectrum * gain, padded)
    return filtered[..., : geometry.bins]


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
    budget = _CHUNK_ELEMENTS.get(device.type, _CHUNK_ELEMENTS["cpu"])
    step = max(1, budget // (table.shape[1] * size * size))
    scale = 2 / (geometry.bins * geometry.pitch_mm)
    for start in range(0, len(views), step):
        part = slice(start, start + step)
        cos, sin = views[part].cos()[:, None], views[part].sin()[:, None]
        across = (axis * cos)[:, None, :] + (axis * sin)[:, :, None]  # (views, N, N)
        if not isinstance(geometry, FanGeometry):
            yield part, None, across * scale
            continue
        ahead = geometry.source_mm + (axis * sin)[:, None, :] - (axis * cos)[:, :, None]
        weight = geometry.source_mm**2 / (across.square() + ahead.square())
        yield part, weight, torch.atan_(across.div_(ahead)) * (geometry.source_mm * scale)
