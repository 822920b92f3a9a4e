"""Rows of stain, colour and sharpness of slides. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from ratcli.errors import MeasurementError
from ratcli.evaluation.stain import (
    ColourDifference,
    StainShift,
    colour_difference,
    sharpness,
    stain_shift,
)
from ratcli.evaluation.views import ComparedView


@dataclass(frozen=True)
class StainRow:
    """H&E figures of one image in one view."""

    image: str
    plane: int
    stain: StainShift
    colour: ColourDifference
    sharpness: float


def stain_rows(compared: ComparedView) -> tuple[StainRow, ...]:
    """Return H&E figures of every image of a view against the reference."""
    reference = compared.reference
    if reference is None:
        return ()
    rows = []
    for name, image in compared.images.items():
        try:
            stain = stain_shift(image, reference)
        except MeasurementError:
            continue
        colour, sharp = colour_difference(image, reference), sharpness(image, reference)
        rows.append(StainRow(name, compared.view.plane, stain, colour, sharp))
    return tuple(rows)
