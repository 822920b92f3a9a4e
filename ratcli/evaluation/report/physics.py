"""The report's tables of physics: noise, resolution, contrast, uptake, stain, phantoms."""

from __future__ import annotations

import math

import numpy as np

from ratcli.evaluation.comparison import INPUT, RESTORED
from ratcli.evaluation.report.table import Table
from ratcli.evaluation.report.words import digits_of, number, signed, unit_of
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.rows.uptake import UptakeRow
from ratcli.evaluation.uptake import Uptake


def noise_table(found: Evaluation) -> Table:
    """Return noise levels, and figures of the noise power spectra."""
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


def transfer_table(found: Evaluation) -> Table:
    """Return resolution at edges."""
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


def contrast_table(found: Evaluation) -> Table:
    """Return contrast to noise of regions and inserts."""
    digits = digits_of(found)
    rows = tuple(
        (
            row.region,
            row.image,
            row.background,
            number(row.contrast.inside - row.contrast.background, digits),
            number(row.contrast.noise, digits),
            number(row.contrast.cnr),
        )
        for row in sorted(found.contrasts, key=lambda row: row.region)
    )
    unit = unit_of(found)
    return Table(
        "Contrast to noise",
        "Mean of the region less that of its background, over the background's standard deviation. "
        "Ring: the pixels from 2 to 8 pixels around. A denoiser raises the ratio by lowering "
        "the noise; the contrast itself should stay.",
        (
            "region", "image", "background", f"contrast in {unit}", f"noise in {unit}",
            "contrast to noise",
        ),
        rows,
    )  # fmt: skip


def uptake_table(found: Evaluation) -> Table:
    """Return uptake in given regions: bias against the reference, and recovery."""
    rows = []
    for row in found.uptake:
        for image, measured in ((INPUT, row.input), (RESTORED, row.restored)):
            if measured is not None:
                rows.append(_uptake_cells(row, image, measured))
    unit = unit_of(found)
    return Table(
        "Uptake",
        "Mean, maximum, and peak (highest mean of a 1 ml sphere) of each region; bias against the "
        "reference. Recovery: measured over true uptake, which is the region's nominal value where "
        "one was given, else the reference's.",
        (
            "region", "image", "volume in ml", f"mean in {unit}", "bias in %", f"max in {unit}",
            "bias in %", f"peak in {unit}", "bias in %", "recovery of mean", "of max", "of peak",
        ),
        tuple(rows),
    )  # fmt: skip


def _uptake_cells(row: UptakeRow, image: str, measured: Uptake) -> tuple[str, ...]:
    cells = [row.name, image, number(measured.volume_ml, 1)]
    for name in ("mean", "highest", "peak"):
        value = getattr(measured, name)
        true = math.nan if row.reference is None else getattr(row.reference, name)
        bias = 100.0 * (value / true - 1.0) if true > 0.0 else math.nan
        cells += [number(value), signed(bias, 1)]
    coefficients = row.recovery(measured) or (math.nan,) * 3
    return (*cells, *(number(value, 3) for value in coefficients))


def stain_table(found: Evaluation) -> Table:
    """Return stain, colour and sharpness of slides."""
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


def phantom_table(found: Evaluation) -> Table:
    """Return uniformity and linearity of a phantom."""
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
