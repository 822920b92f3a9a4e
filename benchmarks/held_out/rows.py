"""Rows of a table: figures of a method, means over patients."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from held_out.cases import Case, Column, Judge, Method
from ratcli.evaluation.patients import summarise


@dataclass(frozen=True)
class Row:
    """One method in one condition.

    Attributes:
        condition: how the planes were degraded.
        method: name.
        figures: means over patients, each counted once.
        interval: 95 % bootstrap interval over patients of the leading figure.
        worst: of each figure, the patient's mean that is farthest from zero.
        seconds: for a plane.
    """

    condition: str
    method: str
    figures: dict[str, float]
    interval: tuple[float, float]
    worst: dict[str, float]
    seconds: float


def judge(bench: Judge, condition: str, named: tuple[str, Method], cases: Sequence[Case]) -> Row:
    """Run a method over held-out planes and average its figures over patients."""
    name, method = named
    began = time.perf_counter()
    outputs = [method(case.low) for case in cases]
    seconds = (time.perf_counter() - began) / len(cases)
    of_patient: dict[str, list[dict[str, float]]] = {}
    for case, output in zip(cases, outputs, strict=True):
        of_patient.setdefault(case.patient, []).append(bench.measure(case, output, method))
    means = [_means(planes) for planes in of_patient.values()]
    lead = next(iter(means[0]))
    summary = summarise([patient[lead] for patient in means])
    return Row(
        condition,
        name,
        _means(means),
        (summary.low, summary.high),
        {key: max(_present(means, key), key=abs, default=np.nan) for key in means[0]},
        seconds,
    )


def _present(rows: Sequence[dict[str, float]], key: str) -> list[float]:
    return [row[key] for row in rows if key in row and np.isfinite(row[key])]


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Average each figure over the rows that have it."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: float(np.mean(_present(rows, key) or [np.nan])) for key in keys}


def show(rows: Sequence[Row], columns: Sequence[Column], about: str) -> None:
    """Print the rows of one condition as a table."""
    print(f"\n{about}")
    titles = [column.title for column in columns]
    head = "".join(f"{title:>{max(10, len(title) + 2)}}" for title in titles)
    print(f"{'method':40}{head}{'95 % interval':>18}{'s/plane':>9}")
    for row in rows:
        cells = []
        for column in columns:
            value = (row.worst if column.worst else row.figures).get(column.figure, np.nan)
            text = format(value, column.form) if np.isfinite(value) else "-"
            cells.append(f"{text:>{max(10, len(column.title) + 2)}}")
        interval = f"{row.interval[0]:.2f} to {row.interval[1]:.2f}"
        print(f"{row.method:40}{''.join(cells)}{interval:>18}{row.seconds:9.3f}", flush=True)
