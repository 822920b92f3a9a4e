"""Measures how sharp an edge stays: discs are added to a real slice, and restored with it.

The same slice is restored with and without the disc, and the difference shows the disc as the
method renders it among real anatomy and noise. The planted disc, seen through a medium smooth
kernel, is what the slice of full dose shows of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter

from held_out.cases import Case, Edge, Method
from ratcli.evaluation.given_regions import Disc
from ratcli.physics.ct import blur_with_kernel
from ratcli.physics.ct_dose import MEDIUM_SMOOTH
from ratcli.scan import FloatArray
from research.planted_edges import f50_kept

RADIUS_MM = 7.0
MOST = 4
MARGIN_PX = 8.0
_TISSUE_HU = (0.0, 120.0)
_OFF_GRID = (0.31, 0.17)


def planted(case: Case, heights_hu: Mapping[str, float]) -> dict[str, Edge]:
    """Return discs of some contrasts in the widest soft tissue of a slice; none if none fits.

    One after the other where the tissue is widest, each apart from those before.
    """
    smooth = gaussian_filter(case.reference[0], 2.0)
    free = (smooth > _TISSUE_HU[0]) & (smooth < _TISSUE_HU[1])
    radius = RADIUS_MM / case.spacing_mm
    reach = round(radius + MARGIN_PX) + 2
    inside = np.zeros(free.shape, bool)
    inside[reach:-reach, reach:-reach] = True
    centres: list[tuple[float, float]] = []
    disc = np.zeros(free.shape, np.float32)
    while len(centres) < MOST:
        depth = distance_transform_edt(free) * inside
        if depth.max() < radius:
            break
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        centres.append((float(row) + _OFF_GRID[0], float(column) + _OFF_GRID[1]))
        disc += Disc(*centres[-1], radius).coverage(free.shape)
        free &= Disc(*centres[-1], radius + MARGIN_PX + 2).coverage(free.shape) == 0
    if not centres:
        return {}
    blurred = blur_with_kernel(torch.from_numpy(disc[None]), case.spacing_mm, MEDIUM_SMOOTH).numpy()
    return {
        name: Edge(np.float32(height) * blurred, tuple(centres), radius)
        for name, height in heights_hu.items()
    }


def edge_kept(case: Case, edge: Edge, output: FloatArray, method: Method) -> float:
    """Return the f50 of the edges that a method leaves over that of the planted ones, their mean.

    Args:
        case: the slice.
        edge: the discs.
        output: what the method made of the slice without the discs.
        method: restores the slice with the discs.
    """
    rendered = method(np.rint(case.low + edge.disc)) - output
    kept = [
        f50_kept(rendered[0], edge.disc[0], case.spacing_mm, centre, edge.radius_px)
        for centre in edge.centres
    ]
    return float(np.mean(kept))
