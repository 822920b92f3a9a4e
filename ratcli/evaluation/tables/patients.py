"""The table of figures over patients."""

from __future__ import annotations

import math

from ratcli.evaluation.patients import WHOLE, Figure, PatientFigures, Summary
from ratcli.evaluation.tables.reference import FIDELITY_DIGITS
from ratcli.evaluation.tables.table import Column, FigureTable, interval, number

_COUNTED = {"scan": "scans", "folder": "folders", "header": "by header or name"}


def patients_table(over: PatientFigures) -> FigureTable:
    """Return figures over patients with their intervals, those of whole scans first."""
    keys = dict.fromkeys((each.scale, each.region, each.image) for each in over.figures)
    rows = tuple(_cells(over, *key) for key in sorted(keys, key=lambda key: (key[1] != WHOLE, key)))
    count = max((summary.count for summary in over.figures.values()), default=0)
    patients = "patient" if count == 1 else "patients"
    return FigureTable(
        f"Over {count} {patients} ({_COUNTED[over.patient]}): mean ± SD [95 % interval]",
        "Mean ± standard deviation [95 % bootstrap interval of the mean], each patient counted "
        "once. RMSE and bias in the unit of the window or of the values; the data range is the "
        "window's width.",
        (
            Column("window or unit"), Column("region"), Column("image"),
            Column("patients", is_main=False), Column("PSNR", "dB"), Column("SSIM"),
            Column("RMSE"), Column("bias"),
        ),
        rows,
    )  # fmt: skip


def _cells(over: PatientFigures, scale: str, region: str, image: str) -> tuple[str, ...]:
    digits = {**FIDELITY_DIGITS, "bias": 2}
    summaries = {name: over.figures.get(Figure(image, region, scale, name)) for name in digits}
    count = max(summary.count for summary in summaries.values() if summary is not None)
    cells = (_text(summaries[name], digits[name]) for name in digits)
    return (scale, region, image, str(count), *cells)


def _text(summary: Summary | None, digits: int) -> str:
    if summary is None:
        return "–"
    text = number(summary.mean, digits)
    if math.isnan(summary.sd):
        return text
    spread = number(summary.sd, digits)
    return f"{text} ± {spread} [{interval(summary.low, summary.high, digits)}]"
