"""The report's tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ratcli.evaluation.fidelity import Fidelity
from ratcli.evaluation.report.words import digits_of, interval, number, signed, unit_of
from ratcli.evaluation.results import Evaluation, RegionRow

_MOST_REGIONS = 60


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: its name.
        meaning: one sentence that tells how to read it.
        header: names of the columns, with units.
        rows: as many texts each.
    """

    title: str
    meaning: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(found: Evaluation) -> list[Table]:
    """Return all tables that have rows."""
    made = [
        _fidelity_table(found),
        _residual_table(found),
        _noise_table(found),
        _transfer_table(found),
        _region_table(found),
        _uptake_table(found),
        _stain_table(found),
        _phantom_table(found),
        _calibration_table(found),
    ]
    return [table for table in made if table.rows]


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
    for name, digits in (("psnr_db", 2), ("ssim", 4), ("rmse", 3)):
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


def _noise_table(found: Evaluation) -> Table:
    rows = []
    for row in found.noise:
        spectrum = row.spectrum
        if spectrum is None:
            cells = ("–",) * 6
        else:
            cells = (
                number(math.sqrt(spectrum.integral), digits_of(found)),
                number(spectrum.integral / spectrum.variance, 4),
                number(spectrum.peak_per_mm, 3),
                number(spectrum.mean_per_mm, 3),
                number(spectrum.anisotropy),
                f"{spectrum.patches} × {spectrum.side_px} px",
            )
        rows.append((row.image, number(row.level, digits_of(found)), *cells))
    return Table(
        "Noise",
        "Level: the most frequent local standard deviation, median over planes. Spectrum: over "
        "the same uniform patches in each image; its integral must equal their variance "
        "about a plane fit. Anisotropy: power along horizontal over vertical frequencies.",
        (
            "image",
            f"level in {unit_of(found)}",
            f"√ integral in {unit_of(found)}",
            "integral / variance",
            "peak in 1/mm",
            "mean in 1/mm",
            "anisotropy",
            "patches",
        ),
        tuple(rows),
    )


def _transfer_table(found: Evaluation) -> Table:
    rows = tuple(
        (
            row.edge,
            row.image,
            number(row.transfer.contrast, 1),
            number(abs(row.transfer.contrast) / max(row.transfer.noise, 1e-9), 0),
            number(row.transfer.f50_per_mm, 3),
            number(row.transfer.f10_per_mm, 3),
        )
        for row in found.transfers
    )
    return Table(
        "Resolution (task transfer function)",
        "Frequencies at which contrast falls to a half and to a tenth. Denoisers are not linear: "
        "the figures hold for this contrast and dose. f10 needs a contrast far above the noise.",
        (
            "edge", "image", f"contrast in {unit_of(found)}", "contrast / noise of the edge spread",
            "f50 in 1/mm", "f10 in 1/mm",
        ),
        rows,
    )  # fmt: skip


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


def _uptake_table(found: Evaluation) -> Table:
    rows = []
    for row in found.uptake:
        cells = [row.name, number(row.restored.volume_ml, 1)]
        for name in ("mean", "highest", "peak"):
            value = getattr(row.restored, name)
            cells.append(number(value))
            if row.reference is not None:
                cells.append(signed(100.0 * (value / getattr(row.reference, name) - 1.0), 1))
            else:
                cells.append("–")
        rows.append(tuple(cells))
    unit = unit_of(found)
    return Table(
        "Uptake",
        "Mean, maximum, and peak (highest mean of a 1 ml sphere) of each region, and how they "
        "differ from the reference.",
        (
            "region", "volume in ml", f"mean in {unit}", "bias in %", f"max in {unit}",
            "bias in %", f"peak in {unit}", "bias in %",
        ),
        tuple(rows),
    )  # fmt: skip


def _stain_table(found: Evaluation) -> Table:
    rows = []
    for image in dict.fromkeys(row.image for row in found.stain):
        mine = [row for row in found.stain if row.image == image]
        figures = np.array(
            [
                (
                    row.stain.haematoxylin,
                    row.stain.eosin,
                    row.colour.mean,
                    row.colour.high,
                    row.sharpness,
                )
                for row in mine
            ]
        ).mean(axis=0)
        rows.append(
            (
                image,
                signed(figures[0], 4),
                signed(figures[1], 4),
                *(number(value, 2) for value in figures[2:]),
            )
        )
    return Table(
        "Stain, colour and sharpness",
        "Change of the mean optical density of each stain over tissue; CIEDE2000 colour "
        "difference (below 1 it is not seen); fine detail over the reference's (1: as sharp). "
        "Means over views.",
        (
            "image", "haematoxylin", "eosin", "ΔE₀₀ mean", "ΔE₀₀ 95th percentile", "sharpness",
        ),
        tuple(rows),
    )  # fmt: skip


def _phantom_table(found: Evaluation) -> Table:
    rows = []
    for row in found.phantoms:
        if row.uniformity is not None:
            flat = row.uniformity
            rows.append(
                (row.image, "uniformity", number(flat.centre), signed(flat.deviation),
                 number(flat.noise), "–")
            )  # fmt: skip
        if row.linearity is not None:
            line = row.linearity
            text = f"{number(line.slope, 4)} · x {signed(line.intercept)}, R² {line.r_squared:.5f}"
            rows.append((row.image, "linearity", "–", signed(line.largest_deviation), "–", text))
    unit = unit_of(found)
    return Table(
        "Phantom",
        "Uniformity: the largest deviation of four discs 20 mm inside the edge from the centre. "
        "Linearity: measured against nominal values.",
        (
            "image", "test", f"centre in {unit}", f"largest deviation in {unit}",
            f"noise in {unit}", "line",
        ),
        tuple(rows),
    )  # fmt: skip


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
