"""Tables against a reference: fidelity, regions, uptake, stain, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ratcli.evaluation.comparison import INPUT, RESTORED
from ratcli.evaluation.fidelity import Fidelity
from ratcli.evaluation.regions import RegionRow
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.tables.table import (
    Column,
    FigureTable,
    Where,
    digits_of,
    interval,
    number,
    signed,
    unit_of,
)
from ratcli.evaluation.uptake import Uptake, UptakeRow

FIDELITY_DIGITS = {"psnr_db": 2, "ssim": 4, "rmse": 3}
"""Digits after the point of each figure of fidelity."""

_MOST_REGIONS = 60
_MAIN_REGIONS = 10
_UPTAKE = {"mean": "mean", "highest": "maximum", "peak": "peak"}


def fidelity_table(found: Evaluation) -> FigureTable:
    """Return the fidelity of each image in each window, pooled over planes."""
    rows = []
    for row in found.pooled:
        planes = [
            each.fidelity
            for each in found.fidelity
            if each.plane is not None
            and (each.image, each.fidelity.window) == (row.image, row.fidelity.window)
        ]
        cells = [
            text
            for name, digits in FIDELITY_DIGITS.items()
            for text in (number(getattr(row.fidelity, name), digits), _over(planes, name, digits))
        ]
        rows.append((str(row.fidelity.window), row.image, *cells))
    rows.sort(key=lambda cells: cells[0])
    over = "over planes"
    return FigureTable(
        f"Fidelity to the reference ({found.protocol} protocol)",
        "Both images are clipped to the window, whose width is the data range. Pooled over all "
        "planes; beside it the mean ± standard deviation over planes. RMSE in the window's unit.",
        (
            Column("window"), Column("image"), Column("PSNR", "dB"), Column(over, is_main=False),
            Column("SSIM"), Column(over, is_main=False), Column("RMSE"),
            Column(over, is_main=False),
        ),
        tuple(rows),
    )  # fmt: skip


def region_table(found: Evaluation) -> FigureTable:
    """Return the bias of regions: those of the whole scan first, then those that moved most."""
    ranked = sorted(found.regions, key=_rank)
    shown = ranked[:_MOST_REGIONS]
    differing = sum(row.bias.differs for row in ranked)
    pooled = sum(row.plane is None for row in shown)
    cut = f"The {len(shown)} of {len(ranked)} rows with the largest bias; all are in the CSV. "
    unit = unit_of(found)
    return FigureTable(
        f"Regions ({differing} of {len(ranked)} differ)",
        (cut if len(ranked) > len(shown) else "")
        + "Bias: mean of the restored image minus that of the image it is compared with. Its 95 % "
        "interval comes from blocks of pixels; about one row in twenty excludes 0 by chance.",
        (
            Column("region"), Column("plane"), Column("pixels", is_main=False),
            Column("mean", unit), Column("other mean", is_main=False), Column("against"),
            Column("bias"), Column("95 % interval"), Column("differs", is_main=False),
        ),
        tuple(_region_cells(row, digits_of(found)) for row in shown),
        main_rows=pooled or min(differing, _MAIN_REGIONS),
        where=tuple(Where(row.plane, row.bias.label) for row in shown),
    )  # fmt: skip


def uptake_table(found: Evaluation) -> FigureTable:
    """Return uptake in given regions: bias against the reference, and recovery."""
    rows = [
        cells
        for row in found.uptake
        for image, measured in ((INPUT, row.input), (RESTORED, row.restored))
        if measured is not None
        for cells in _uptake_cells(row, image, measured)
    ]
    return FigureTable(
        "Uptake",
        "Mean, maximum, and peak (highest mean of a 1 ml sphere) of each region; bias against the "
        "reference. Recovery: measured over true uptake, which is the region's nominal value if "
        "it was given with one, else that of the reference.",
        (
            Column("region"), Column("image"), Column("volume", "ml", is_main=False),
            Column("figure"), Column("uptake", unit_of(found)), Column("bias", "%"),
            Column("recovery"),
        ),
        tuple(rows),
    )  # fmt: skip


def stain_table(found: Evaluation) -> FigureTable:
    """Return stain, colour and sharpness of slides."""
    rows = []
    for image in dict.fromkeys(row.image for row in found.stain):
        figures = [
            (r.stain.haematoxylin, r.stain.eosin, r.colour.mean, r.colour.high, r.sharpness)
            for r in found.stain
            if r.image == image
        ]
        haematoxylin, eosin, *others = np.mean(figures, axis=0).tolist()
        stains = (signed(haematoxylin, 4), signed(eosin, 4))
        rows.append((image, *stains, *(number(value) for value in others)))
    return FigureTable(
        "Stain, colour and sharpness",
        "Change of the mean optical density of each stain over tissue; CIEDE2000 colour "
        "difference (below 1 it cannot be seen); fine detail over that of the reference (1: as "
        "sharp). Means over views.",
        (
            Column("image"), Column("haematoxylin"), Column("eosin"), Column("ΔE₀₀ mean"),
            Column("ΔE₀₀ 95th percentile"), Column("sharpness"),
        ),
        tuple(rows),
    )  # fmt: skip


def calibration_table(found: Evaluation) -> FigureTable:
    """Return the predicted uncertainty beside the true error."""
    rows = tuple(
        (
            number(row.uncertainty, 3),
            number(row.error, 3),
            number(row.error / row.uncertainty),
            str(row.pixels),
        )
        for row in found.calibration
    )
    return FigureTable(
        "Calibration of the uncertainty",
        "Pixels in groups of similar uncertainty: the root mean square of the uncertainty and of "
        "the true error. Their ratio is 1 if the uncertainty is right.",
        (
            Column("uncertainty", unit_of(found)), Column("error", unit_of(found)),
            Column("ratio"), Column("pixels"),
        ),
        rows,
    )  # fmt: skip


def _over(planes: Sequence[Fidelity], name: str, digits: int) -> str:
    """Return mean ± standard deviation over planes, a dash where they are not known."""
    values = np.array([getattr(plane, name) for plane in planes], np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return "–"
    return f"{number(values.mean(), digits)} ± {number(values.std(ddof=1), digits)}"


def _rank(row: RegionRow) -> tuple[bool, bool, float]:
    return row.plane is not None, not row.bias.differs, -abs(row.bias.bias)


def _region_cells(row: RegionRow, digits: int) -> tuple[str, ...]:
    bias = row.bias
    return (
        row.name,
        "all" if row.plane is None else str(row.plane + 1),
        str(bias.pixels),
        number(bias.mean, digits),
        number(bias.other_mean, digits),
        row.against,
        signed(bias.bias, digits),
        interval(bias.low, bias.high, digits),
        "yes" if bias.differs else "no",
    )


def _uptake_cells(row: UptakeRow, image: str, measured: Uptake) -> list[tuple[str, ...]]:
    """Return a row each for mean, maximum and peak."""
    recovered = row.recovery(measured) or (math.nan,) * 3
    rows: list[tuple[str, ...]] = []
    for (name, text), share in zip(_UPTAKE.items(), recovered, strict=True):
        value = getattr(measured, name)
        true = math.nan if row.reference is None else getattr(row.reference, name)
        bias = 100.0 * (value / true - 1.0) if true > 0.0 else math.nan
        figures = (number(value), signed(bias, 1), number(share, 3))
        rows.append((row.name, image, number(measured.volume_ml, 1), text, *figures))
    return rows
