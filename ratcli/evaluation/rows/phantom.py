"""Rows of a phantom: uniformity and linearity; and the edges at which it is measured.

No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ratcli.errors import MeasurementError
from ratcli.evaluation.body import BODY, phantom_body, phantom_inserts
from ratcli.evaluation.comparison import RESTORED
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.quantitation import Linearity, RegionBias, Uniformity, linearity, uniformity
from ratcli.evaluation.rows.regions import RegionRow
from ratcli.evaluation.views import ComparedView, cleanest, named_images
from ratcli.scan import Box, FloatArray

_WALL_MM = 20.0


@dataclass(frozen=True)
class PhantomRow:
    """Figures of a phantom in one image."""

    image: str
    uniformity: Uniformity | None
    linearity: Linearity | None


def phantom_edges(compared: ComparedView) -> dict[str, Disc | Box]:
    """Return the round edges of a phantom: its body and its inserts.

    Raises:
        MeasurementError: the view shows no round body.
    """
    plane = _without_padding(cleanest(compared)[0], compared)
    body = phantom_body(plane)
    inserts = phantom_inserts(plane, body)
    named: dict[str, Disc | Box] = {BODY: body}
    return named | {f"insert {index + 1}": disc for index, disc in enumerate(inserts)}


def phantom_rows(compared: ComparedView, body: Disc, spacing_mm: float) -> tuple[PhantomRow, ...]:
    """Return the uniformity of every image of a view, 20 mm inside the body's outline.

    Raises:
        MeasurementError: the discs do not fit into the body.
    """
    return tuple(
        PhantomRow(name, uniformity(image[0], body, _WALL_MM / spacing_mm), None)
        for name, image in named_images(compared).items()
    )


def inserts_of(edges: Mapping[str, Disc | Box]) -> dict[str, Disc]:
    """Return the inserts among a phantom's round edges."""
    return {name: edge for name, edge in edges.items() if name != BODY and isinstance(edge, Disc)}


def linear_rows(regions: tuple[RegionRow, ...]) -> tuple[PhantomRow, ...]:
    """Fit measured against nominal means, where three or more differ."""
    rows: list[RegionBias] = [row.bias for row in regions if row.against == "nominal"]
    try:
        fit = linearity([row.other_mean for row in rows], [row.mean for row in rows])
    except MeasurementError:
        return ()
    return (PhantomRow(RESTORED, None, fit),)


def _without_padding(plane: FloatArray, compared: ComparedView) -> FloatArray:
    """Return the plane with padding raised to the lowest measured value."""
    return np.where(compared.mask, plane, plane[compared.mask].min()).astype(np.float32)
