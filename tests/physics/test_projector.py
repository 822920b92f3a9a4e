from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ratcli.physics.gridding import PITCH_PX, radial_grid
from ratcli.physics.projector import Geometry, forward_project, ramp
from research.back_projection import reconstruct
from research.fan_beam import FanGeometry

FAN = FanGeometry(views=360, bins=320, pitch_mm=0.9, source_mm=400.0)
PARALLEL = Geometry(views=240, bins=320, pitch_mm=0.9)
BOTH = pytest.mark.parametrize("geometry", [FAN, PARALLEL], ids=["fan", "parallel"])
SIZE, SPACING = 192, 1.0


def disc(radius: float, x: float = 0.0, y: float = 0.0, over: int = 6) -> Tensor:
    """A disc `(1, N, N)` whose edge pixels hold the share that it covers."""
    axis = (torch.arange(SIZE * over) - (SIZE * over - 1) / 2) * (SPACING / over)
    fine = ((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2 < radius**2).float()
    return torch.nn.functional.avg_pool2d(fine[None], over)


def chords(geometry: Geometry, radius: float, x: float, y: float) -> Tensor:
    """The length of every ray in a disc, `(views, bins)`, from geometry alone."""
    turn = math.pi / 2 * geometry.turns
    theta = torch.arange(geometry.views)[:, None] * (turn / geometry.views)
    position = (torch.arange(geometry.bins) - (geometry.bins - 1) / 2) * geometry.pitch_mm
    t = position[None].expand(geometry.views, -1)
    if isinstance(geometry, FanGeometry):
        theta = theta + position / geometry.source_mm
        t = geometry.source_mm * torch.sin(t / geometry.source_mm)
    off = x * theta.cos() + y * theta.sin() - t
    return 2 * (radius**2 - off**2).clamp_min(0).sqrt()


def radius_map() -> Tensor:
    axis = (torch.arange(SIZE) - (SIZE - 1) / 2) * SPACING
    return torch.hypot(axis[:, None].expand(-1, SIZE), axis[None].expand(SIZE, -1))


@BOTH
def test_line_integrals_of_a_disc_are_its_chords(geometry: Geometry) -> None:
    projected = forward_project(disc(50, 20, -13), SPACING, geometry)[0]
    error = (projected - chords(geometry, 50, 20, -13)).abs()
    # Pixels blur the disc's edge: there the chord's slope is infinite.
    assert error.mean() < 0.05
    assert error.quantile(0.99) < 1.0


@BOTH
def test_inside_a_disc_the_reconstruction_is_unbiased(geometry: Geometry) -> None:
    fine = replace(geometry, bins=8 * geometry.bins, pitch_mm=geometry.pitch_mm / 8)
    sinogram = chords(fine, 80, 0, 0).view(geometry.views, -1, 8).mean(-1)  # a bin has a width
    plane = reconstruct(sinogram[None], SIZE, SPACING, geometry)[0]
    inside = plane[radius_map() < 60]
    # 1e-4 of water is 0.1 HU.
    assert abs(float(inside.mean()) - 1) < 1e-4


@BOTH
def test_a_disc_off_the_centre_comes_back_in_its_place(geometry: Geometry) -> None:
    truth = disc(25, 40, -22)
    projected = forward_project(truth, SPACING, geometry)
    soft = reconstruct(projected, SIZE, SPACING, geometry, lambda f: torch.exp(-((f / 0.2) ** 2)))
    axis = (torch.arange(SIZE) - (SIZE - 1) / 2) * SPACING
    mass = soft[0].clamp_min(0.3) - 0.3
    assert float((mass.sum(0) * axis).sum() / mass.sum()) == pytest.approx(40, abs=0.1)
    assert float((mass.sum(1) * axis).sum() / mass.sum()) == pytest.approx(-22, abs=0.1)


def test_parallel_projections_agree_with_scikit_image() -> None:
    radon = pytest.importorskip("skimage.transform").radon
    plane = (disc(40, 10, 25) + 0.5 * disc(15, -30, -20))[0]
    geometry = Geometry(views=12, bins=191, pitch_mm=1.0)
    ours = forward_project(plane[None, :191, :191], 1.0, geometry)[0]
    # Its angle runs against ours (its rows count up), its bins from the middle pixel.
    theirs = radon(plane[:191, :191].double().numpy(), -np.arange(12) * 15.0, circle=True)
    difference = ours.numpy() - theirs.T
    # Its own forward error is 1 to 2 %.
    assert np.sqrt((difference**2).mean()) < 0.02 * theirs.max()


def test_all_planes_of_a_batch_are_projected_alike() -> None:
    planes = torch.cat([disc(30, 5, 5), disc(50)])
    together = forward_project(planes, SPACING, FAN)
    torch.testing.assert_close(together[1:], forward_project(planes[1:], SPACING, FAN))
    back = reconstruct(together, SIZE, SPACING, FAN)
    torch.testing.assert_close(
        back[1:], reconstruct(together[1:], SIZE, SPACING, FAN), atol=1e-5, rtol=0
    )


def test_spacing_scales_lengths() -> None:
    one = forward_project(disc(40), 1.0, PARALLEL)
    half = Geometry(PARALLEL.views, PARALLEL.bins, PARALLEL.pitch_mm / 2)
    torch.testing.assert_close(forward_project(disc(40), 0.5, half), one / 2)


def test_views_must_fill_whole_quadrants() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        Geometry(views=90, bins=10, pitch_mm=1.0)


def test_planes_must_be_square() -> None:
    with pytest.raises(ValueError, match="square"):
        forward_project(torch.zeros(1, 4, 5), 1.0, PARALLEL)


@pytest.mark.parametrize("size", [96, 101])
def test_gridding_and_back_projection_give_the_same_plane(size: int) -> None:
    grid = radial_grid(size)
    geometry = Geometry(grid.views, grid.bins, PITCH_PX)
    noise = torch.randn(2, grid.views, grid.bins, generator=torch.Generator().manual_seed(1))

    def smooth(f: Tensor) -> Tensor:
        return torch.exp(-0.5 * (f / 0.03) ** 2)

    gain = ramp(geometry, grid.length, torch.device("cpu")) * smooth(grid.frequencies())
    fast = grid.reconstruct(noise, gain)
    slow = reconstruct(noise, size, 1.0, geometry, smooth)
    middle = slice(size // 8, -size // 8)
    difference = (fast - slow)[:, middle, middle]
    # Linear interpolation between bins costs back-projection 0.5 % at these frequencies.
    assert difference.std() < 0.01 * slow.std()
