"""The tables that `rat evaluate` prints, on stderr: stdout is data."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from ratcli.evaluation.comparison import INPUT, RESTORED
from ratcli.evaluation.patients import WHOLE, Figure
from ratcli.evaluation.report.physics import contrast_table
from ratcli.evaluation.report.table import Table as ReportTable
from ratcli.evaluation.report.words import number, signed
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.summary import Summary

_FIGURES = {"psnr_db": ("PSNR in dB", 2), "ssim": ("SSIM", 4), "rmse": ("RMSE", 3)}

UPTAKE_FIGURES = {"mean": "mean", "highest": "maximum", "peak": "peak"}


def print_scan(name: str, found: Evaluation) -> None:
    """Print what was found on one scan."""
    console = Console(stderr=True)
    console.print(f"\n[bold]{name}[/bold]", highlight=False)
    for table in (
        _fidelity(found),
        _noise(found),
        _phantom(found),
        _transfers(found),
        _as_rich(contrast_table(found)),
        _regions(found),
        _uptake(found),
    ):
        if table.row_count:
            console.print(table)
    console.print(found.verdict, markup=False, highlight=False)
    for note in found.notes:
        console.print(note, style="dim", markup=False, highlight=False)


def print_summary(over: Mapping[Figure, Summary], patient: str) -> None:
    """Print figures over patients, with their 95 % bootstrap intervals."""
    count = max(summary.count for summary in over.values())
    unit = "scans" if patient == "scan" else "folders"
    table = Table(title=f"Over {count} patients ({unit}): mean ± SD [95 % interval]")
    columns = {**_FIGURES, "bias": ("bias", 2)}
    for column in ("window or unit", "region", "image"):
        table.add_column(column)
    for label, _ in columns.values():
        table.add_column(label, justify="right")
    keys = dict.fromkeys((each.scale, each.region, each.image) for each in over)
    for scale, region, image in sorted(keys, key=lambda key: (key[1] != WHOLE, key)):
        cells = [
            _over(over.get(Figure(image, region, scale, name)), digits)
            for name, (_, digits) in columns.items()
        ]
        table.add_row(_plain(scale), _plain(region), image, *cells)
    Console(stderr=True).print(table)


def _over(summary: Summary | None, digits: int) -> str:
    if summary is None:
        return "-"
    text = f"{summary.mean:.{digits}f}"
    if math.isfinite(summary.sd):
        text += (
            f" ± {summary.sd:.{digits}f} \\[{summary.low:.{digits}f}, {summary.high:.{digits}f}]"
        )
    return text


def _fidelity(found: Evaluation) -> Table:
    table = Table(title=f"Fidelity ({found.protocol} protocol; data range: the window's width)")
    for column in ("window", "image", *(label for label, _ in _FIGURES.values())):
        table.add_column(column, justify="left" if column in ("window", "image") else "right")
    for row in sorted(found.pooled, key=lambda row: str(row.fidelity.window)):
        cells = [
            f"{getattr(row.fidelity, figure):.{digits}f}"
            for figure, (_, digits) in _FIGURES.items()
        ]
        table.add_row(_plain(str(row.fidelity.window)), row.image, *cells)
    return table


def _noise(found: Evaluation) -> Table:
    unit = found.unit or "unknown unit"
    table = Table(title="Noise")
    table.add_column("image")
    for column in (f"level in {unit}", "√ NPS integral", "NPS peak in 1/mm", "NPS mean in 1/mm"):
        table.add_column(column, justify="right")
    for row in found.noise:
        if row.spectrum is None:
            cells = ("-", "-", "-")
        else:
            cells = (
                f"{math.sqrt(row.spectrum.integral):.3g}",
                f"{row.spectrum.peak_per_mm:.2f}",
                f"{row.spectrum.mean_per_mm:.2f}",
            )
        level = "-" if math.isnan(row.level) else f"{row.level:.3g}"
        table.add_row(row.image, level, *cells)
    return table


def _phantom(found: Evaluation) -> Table:
    unit = found.unit or "unknown unit"
    table = Table(title="Phantom")
    for column in ("image", "test", "result"):
        table.add_column(column)
    for row in found.phantoms:
        if row.uniformity is not None:
            flat = row.uniformity
            text = f"centre {flat.centre:.2f}, edge {flat.deviation:+.2f}, noise {flat.noise:.2f}"
            table.add_row(row.image, "uniformity", f"{text} {unit}")
        if row.linearity is not None:
            line = row.linearity
            text = f"slope {line.slope:.4f}, intercept {line.intercept:+.2f} {unit}, "
            table.add_row(row.image, "linearity", text + f"R² {line.r_squared:.5f}")
    return table


def _transfers(found: Evaluation) -> Table:
    table = Table(title="Resolution (task transfer function)")
    for column in ("edge", "image"):
        table.add_column(column)
    for column in (f"contrast in {found.unit or 'unknown unit'}", "f50 in 1/mm", "f10 in 1/mm"):
        table.add_column(column, justify="right")
    for row in found.transfers:
        transfer = row.transfer
        figures = (transfer.f50_per_mm, transfer.f10_per_mm)
        cells = ("-" if math.isnan(figure) else f"{figure:.3f}" for figure in figures)
        table.add_row(_plain(row.edge), row.image, f"{transfer.contrast:.1f}", *cells)
    return table


def _regions(found: Evaluation) -> Table:
    """Return the regions of the whole scan, else the ten with the largest certain bias."""
    rows = [row for row in found.regions if row.plane is None]
    title = "Regions"
    if not rows:
        moved = [row for row in found.regions if row.bias.differs]
        rows = sorted(moved, key=lambda row: -abs(row.bias.bias))[:10]
        title = f"Regions with the largest bias ({len(moved)} of {len(found.regions)} differ)"
    table = Table(title=title)
    table.add_column("region")
    for column in ("plane", "mean", "against", "bias", "95 % interval"):
        table.add_column(column, justify="right")
    for row in rows:
        bias = row.bias
        table.add_row(
            _plain(row.name),
            "all" if row.plane is None else str(row.plane + 1),
            f"{bias.mean:.4g}",
            row.against,
            f"{bias.bias:+.3g}",
            "-" if math.isnan(bias.low) else f"{bias.low:.3g} to {bias.high:.3g}",
        )
    return table


def _uptake(found: Evaluation) -> Table:
    """Return uptake in given regions: a row for mean, maximum and peak, as a terminal is narrow."""
    table = Table(title="Uptake (bias against the reference; recovery of the true uptake)")
    for column in ("region", "image", "figure"):
        table.add_column(column)
    for column in (f"in {found.unit or 'unknown unit'}", "bias in %", "recovery"):
        table.add_column(column, justify="right")
    for row in found.uptake:
        for image, measured in ((INPUT, row.input), (RESTORED, row.restored)):
            if measured is None:
                continue
            recovered = row.recovery(measured) or (math.nan,) * 3
            for name, share in zip(UPTAKE_FIGURES, recovered, strict=True):
                value = getattr(measured, name)
                true = math.nan if row.reference is None else getattr(row.reference, name)
                bias = 100.0 * (value / true - 1.0) if true > 0.0 else math.nan
                words = (UPTAKE_FIGURES[name], number(value), signed(bias, 1), number(share, 3))
                table.add_row(_plain(row.name), image, *words)
    return table


def _as_rich(made: ReportTable) -> Table:
    """Return a table of the report for the terminal."""
    table = Table(title=made.title)
    for place, column in enumerate(made.header):
        table.add_column(column, justify="left" if place == 0 else "right")
    for row in made.rows:
        table.add_row(*(_plain(cell) for cell in row))
    return table


def _plain(text: str) -> str:
    """Return a text in which rich sees no markup."""
    return text.replace("[", "\\[")
