"""Tables of physics: residual, noise, resolution, contrast, phantoms."""

from __future__ import annotations

import math

from ratcli.evaluation.detectability import USUAL_CONTRAST_HU, DetectabilityRow
from ratcli.evaluation.planted import ALL_DISCS
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

_MOST_PLACES, _MAIN_PLACES = 100, 5


def residual_table(found: Evaluation) -> FigureTable:
    """Return the figures of the residual check: the largest of all planes, and its limit."""
    rows = []
    names = [finding.name for finding in found.residual[0].check.findings] if found.residual else []
    for index, name in enumerate(names):
        findings = [(row.plane, row.check.findings[index]) for row in found.residual]
        plane, worst = max(findings, key=lambda pair: abs(pair[1].value))
        failed = sum(not finding.passed for _, finding in findings)
        rows.append(
            (
                name,
                f"{number(worst.value)} {worst.unit}".strip(),
                str(plane + 1),
                f"{number(worst.limit)} {worst.unit}".strip(),
                f"{failed} of {len(findings)}",
            )
        )
    return FigureTable(
        "Residual check (input minus output)",
        "A denoiser should remove noise only. An ideal one has an edge to flat ratio of 1 and no "
        "correlation, nothing stands out by more than about 5 SD, and no region's mean moves.",
        (
            Column("figure"), Column("largest"), Column("in plane"), Column("limit"),
            Column("planes beyond"),
        ),
        tuple(rows),
    )  # fmt: skip


def place_table(found: Evaluation) -> FigureTable:
    """Return suspicious places in the residual, the strongest first."""
    every = [(row.plane, place) for row in found.residual for place in row.check.places]
    every.sort(key=lambda pair: -abs(pair[1].z))
    shown = every[:_MOST_PLACES]
    cut = f"The strongest {len(shown)} of {len(every)}. " if len(every) > len(shown) else ""
    return FigureTable(
        "Suspicious places",
        f"{cut}Spots and lines that stand out of the residual: more than noise is removed from the "
        "input there, or added to it.",
        (
            Column("kind"), Column("change"), Column("strength", "SD"), Column("plane"),
            Column("row"), Column("column"),
        ),
        tuple(
            (place.kind, place.change, number(abs(place.z), 1),
             str(plane + 1), str(place.row + 1), str(place.column + 1))
            for plane, place in shown
        ),
        main_rows=_MAIN_PLACES,
        where=tuple(Where(plane, None, place.row, place.column) for plane, place in shown),
    )  # fmt: skip


def noise_table(found: Evaluation) -> FigureTable:
    """Return the noise of each image, and figures of its power spectrum."""
    digits, unit = digits_of(found), unit_of(found)
    rows = []
    for row in found.noise:
        spectrum = row.spectrum
        if spectrum is None:
            cells = ("–",) * 7
        else:
            cells = (
                number(math.sqrt(spectrum.integral), digits),
                number(spectrum.integral / spectrum.variance, 4),
                "–" if row.doubt else number(spectrum.peak_per_mm, 3),
                "–" if row.doubt else number(spectrum.mean_per_mm, 3),
                number(spectrum.anisotropy),
                f"{spectrum.patches} × {spectrum.patch_side_px} px",
                f"not trusted: {row.doubt}" if row.doubt else row.source,
            )
        between = number(row.between_planes)
        rows.append((row.image, number(row.noise, digits), *cells[:5], between, *cells[5:]))
    return FigureTable(
        "Noise",
        "Noise: the most frequent local standard deviation, median over planes. Spectrum: over "
        "the same uniform patches in each image, or over input minus reference; its "
        "integral must equal their variance about a plane fit. Structure in the patches leaves no "
        "trusted peak or mean. A lower mean frequency looks waxy. Anisotropy: power along "
        "horizontal over vertical frequencies. Between planes: correlation of the noise of "
        "neighbouring planes; noise that is correlated looks like structure.",
        (
            Column("image"), Column("noise", unit), Column("√ NPS integral", unit),
            Column("integral / variance", is_main=False), Column("NPS peak", "1/mm"),
            Column("NPS mean", "1/mm"), Column("anisotropy", is_main=False),
            Column("between planes"), Column("patches", is_main=False),
            Column("spectrum of", is_main=False),
        ),
        tuple(rows),
    )  # fmt: skip


def transfer_table(found: Evaluation) -> FigureTable:
    """Return the resolution at edges."""
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
    return FigureTable(
        "Resolution (task transfer function)",
        "Frequencies at which contrast falls to a half and to a tenth. Denoisers are not linear: "
        "the figures hold for this contrast and dose. f10 needs a contrast far above the noise.",
        (
            Column("edge"), Column("image"), Column("contrast", unit_of(found)),
            Column("contrast / noise of the edge spread", is_main=False), Column("f50", "1/mm"),
            Column("f10", "1/mm"),
        ),
        rows,
    )  # fmt: skip


def contrast_table(found: Evaluation) -> FigureTable:
    """Return contrast to noise of regions and inserts."""
    digits, unit = digits_of(found), unit_of(found)
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
    return FigureTable(
        "Contrast to noise",
        "Mean of the region minus that of its background, over the standard deviation of the "
        "background. Ring: the pixels from 2 to 8 pixels around. A denoiser raises the ratio by "
        "lowering the noise; the contrast itself should stay.",
        (
            Column("region"), Column("image"), Column("background"), Column("contrast", unit),
            Column("noise", unit), Column("contrast to noise"),
        ),
        rows,
    )  # fmt: skip


def detectability_table(found: Evaluation) -> FigureTable:
    """Return how well observers detect discs."""
    rows = tuple(
        (
            row.signal,
            number(row.diameter_mm, 1),
            number(row.dose),
            number(row.contrast, 1),
            row.image,
            row.observer,
            number(row.found.d_prime),
            interval(row.found.low, row.found.high),
            number(row.found.auc, 3),
            interval(row.found.auc_low, row.found.auc_high, 3),
            str(row.found.repeats),
            number(row.found.repeats_needed, 0),
        )
        for row in sorted(found.detectability, key=_importance)
    )
    usual = sum(_importance(row)[0] == 0 for row in found.detectability)
    return FigureTable(
        "Detectability",
        "How well an observer tells a disc from noise: d' is the distance of the two in standard "
        "deviations, AUC the share of pairs in which it points at the right image (0.5: chance). "
        "Repeats needed: for an interval of ± 10 %. Observers do better than readers do, so "
        "compare images, not the figure itself.",
        (
            Column("disc"), Column("diameter", "mm", is_main=False),
            Column("dose"),
            Column("contrast", unit_of(found)), Column("image"), Column("observer"),
            Column("d'"), Column("95 % interval"), Column("AUC"),
            Column("95 % interval of AUC", is_main=False), Column("repeats", is_main=False),
            Column("repeats needed", is_main=False),
        ),
        rows,
        main_rows=usual or None,
    )  # fmt: skip


def equivalence_table(found: Evaluation) -> FigureTable:
    """Return the doses that restorations are worth."""
    rows = tuple(
        (
            row.image,
            row.signal,
            number(row.dose),
            number(row.detects_as),
            interval(row.low, row.high),
            number(row.noise_as),
        )
        for row in sorted(found.equivalences, key=lambda row: row.signal != ALL_DISCS)
    )
    return FigureTable(
        "Dose equivalence",
        "At which dose the unrestored scan detects as well (has the same d') as the scan restored "
        "at a lower dose, and beside it at which dose it has the same noise. Doses are fractions "
        "of that of the scan. Clear discs: the geometric mean over those whose d' in the input is "
        "above 1. Interval: bootstrap over repeats.",
        (
            Column("image"), Column("disc"), Column("dose"), Column("detects as at dose"),
            Column("95 % interval"), Column("noise as at dose"),
        ),
        rows,
        main_rows=sum(row.signal == ALL_DISCS for row in found.equivalences),
    )  # fmt: skip


def _importance(row: DetectabilityRow) -> tuple[float, float]:
    """Sort planted discs: those of the usual contrast first; others stay as they are."""
    if math.isnan(row.dose):
        return 0.0, 0.0
    return abs(row.contrast - USUAL_CONTRAST_HU), row.diameter_mm


def phantom_table(found: Evaluation) -> FigureTable:
    """Return uniformity and linearity of a phantom."""
    rows = []
    for row in found.phantoms:
        if row.uniformity is not None:
            flat = row.uniformity
            figures = (number(flat.centre), signed(flat.deviation), number(flat.noise))
            rows.append((row.image, "uniformity", *figures, "–"))
        if row.linearity is not None:
            line = row.linearity
            text = f"{number(line.slope, 4)} · x {signed(line.intercept)}, R² {line.r_squared:.5f}"
            rows.append((row.image, "linearity", "–", signed(line.largest_deviation), "–", text))
    unit = unit_of(found)
    return FigureTable(
        "Phantom",
        "Uniformity: the largest deviation of four discs 20 mm inside the edge from the centre. "
        "Linearity: measured against nominal values.",
        (
            Column("image"), Column("test"), Column("centre", unit),
            Column("largest deviation", unit), Column("noise", unit), Column("line"),
        ),
        tuple(rows),
    )  # fmt: skip
