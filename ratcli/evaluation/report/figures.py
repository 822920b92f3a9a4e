"""The report's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ratcli.evaluation.fidelity import Fidelity
from ratcli.evaluation.patients import Figure
from ratcli.evaluation.report.physics import (
    contrast_table,
    noise_table,
    phantom_table,
    stain_table,
    transfer_table,
    uptake_table,
)
from ratcli.evaluation.report.table import Table
from ratcli.evaluation.report.words import digits_of, interval, number, signed, unit_of
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.rows.regions import RegionRow
from ratcli.evaluation.summary import Summary

_MOST_REGIONS = 60
_FIDELITY_DIGITS = (("psnr_db", 2), ("ssim", 4), ("rmse", 3))


def tables(found: Evaluation) -> list[Table]:
    """Return all tables that have rows."""
    made = [
        _fidelity_table(found),
        _residual_table(found),
        noise_table(found),
        transfer_table(found),
        contrast_table(found),
        _region_table(found),
        uptake_table(found),
        stain_table(found),
        phantom_table(found),
        _calibration_table(found),
    ]
    return [table for table in made if table.rows]


def patients_table(over: Mapping[Figure, Summary]) -> Table:
    """Return figures over patients, with their intervals."""
    keys = dict.fromkeys((each.scale, each.region, each.image) for each in over)
    rows = []
    for scale, region, image in sorted(keys):
        cells = []
        for name, digits in (*_FIDELITY_DIGITS, ("bias", 2)):
            summary = over.get(Figure(image, region, scale, name))
            cells.append("–" if summary is None else _over(summary, digits))
        counts = [
            summary.count
            for figure, summary in over.items()
            if (figure.scale, figure.region, figure.image) == (scale, region, image)
        ]
        rows.append((scale, region, image, str(max(counts)), *cells))
    return Table(
        "Over patients",
        "Mean ± standard deviation [95 % bootstrap interval of the mean], each patient counted "
        "once. RMSE and bias in the unit of the window or of the values; the data range is the "
        "window's width.",
        (
            "window or unit", "region", "image", "patients", "PSNR in dB", "SSIM", "RMSE", "bias",
        ),
        tuple(rows),
    )  # fmt: skip


def _over(summary: Summary, digits: int) -> str:
    text = number(summary.mean, digits)
    if math.isnan(summary.sd):
        return text
    spread = number(summary.sd, digits)
    return f"{text} ± {spread} [{interval(summary.low, summary.high, digits)}]"


def _fidelity_table(found: Evaluation) -> Table:
    rows = []
    for row in found.pooled:
        figures = [
            each.fidelity
            for each in found.fidelity
            if each.plane is not None
            and (each.image, each.fidelity.window) == (row.image, row.fidelity.window)
        ]
        rows.append((str(row.fidelity.window), row.image, *_figures(row.fidelity, figures)))
    rows.sort(key=lambda cells: cells[0])
    unit = "window's unit"
    return Table(
        f"Fidelity to the reference ({found.protocol} protocol)",
        "Both images are clipped to the window, whose width is the data range. Pooled over all "
        "planes; in brackets mean ± standard deviation over planes.",
        ("window", "image", "PSNR in dB", "SSIM", f"RMSE in {unit}"),
        tuple(rows),
    )


def _figures(pooled: Fidelity, planes: Sequence[Fidelity]) -> tuple[str, str, str]:
    cells = []
    for name, digits in _FIDELITY_DIGITS:
        values = np.array([getattr(plane, name) for plane in planes], np.float64)
        text = number(getattr(pooled, name), digits)
        if len(values) > 1 and np.isfinite(values).all():
            text += f" ({number(values.mean(), digits)} ± {number(values.std(ddof=1), digits)})"
        cells.append(text)
    return cells[0], cells[1], cells[2]


def _residual_table(found: Evaluation) -> Table:
    rows = []
    for index, name in enumerate(
        [finding.name for finding in found.residual[0].check.findings] if found.residual else []
    ):
        all_planes = [(row.plane, row.check.findings[index]) for row in found.residual]
        failed = [plane for plane, finding in all_planes if not finding.passed]
        plane, worst = max(all_planes, key=lambda pair: abs(pair[1].value))
        rows.append(
            (
                name,
                f"{number(worst.value)} {worst.unit}".strip(),
                str(plane + 1),
                f"{number(worst.limit)} {worst.unit}".strip(),
                f"{len(failed)} of {len(all_planes)}",
            )
        )
    return Table(
        "Residual check (input less output)",
        "A denoiser should take noise alone: an ideal one has an edge to flat ratio of 1, no "
        "correlation, nothing that stands out by more than about 5 SD, and moves no region's mean.",
        ("figure", "largest", "in plane", "limit", "planes beyond"),
        tuple(rows),
    )


def _region_table(found: Evaluation) -> Table:
    ranked = sorted(found.regions, key=_rank)
    digits = digits_of(found)
    rows = tuple(
        (
            row.name,
            "all" if row.plane is None else str(row.plane + 1),
            str(row.bias.pixels),
            number(row.bias.mean, digits),
            number(row.bias.other_mean, digits),
            row.against,
            signed(row.bias.bias, digits),
            interval(row.bias.low, row.bias.high, digits),
            "yes" if row.bias.differs else "no",
        )
        for row in ranked[:_MOST_REGIONS]
    )
    shown = f"The {len(rows)} of {len(ranked)} rows with the largest bias; all are in the CSV. "
    return Table(
        "Regions",
        (shown if len(ranked) > len(rows) else "")
        + "Bias: mean of the restored image less that of what it is measured against. Its 95 % "
        "interval comes from blocks of pixels; about one row in twenty leaves out 0 by chance.",
        (
            "region", "plane", "pixels", f"mean in {unit_of(found)}", "other mean", "against",
            "bias", "95 % interval", "differs",
        ),
        rows,
    )  # fmt: skip


def _rank(row: RegionRow) -> tuple[bool, bool, float]:
    return row.plane is not None, not row.bias.differs, -abs(row.bias.bias)


def _calibration_table(found: Evaluation) -> Table:
    rows = tuple(
        (number(row.told, 3), number(row.error, 3), number(row.error / row.told), str(row.pixels))
        for row in found.calibration
    )
    return Table(
        "Calibration of the uncertainty",
        "Pixels in groups of like uncertainty: the root mean square of what was told, and of "
        "the true error. Their ratio is 1 where the uncertainty is right.",
        (f"told in {unit_of(found)}", f"error in {unit_of(found)}", "ratio", "pixels"),
        rows,
    )
