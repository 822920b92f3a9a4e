"""The report's plots, from the figures of an evaluation."""

from __future__ import annotations

import math

import numpy as np

from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.detectability import USUAL_CONTRAST_HU
from ratcli.evaluation.noise import NoiseRow
from ratcli.evaluation.report.plots import Plot, Rule, Trace
from ratcli.evaluation.results import AXIAL, Evaluation
from ratcli.evaluation.tables.table import digits_of, signed, unit_of


def plots(found: Evaluation) -> list[Plot]:
    """Return all plots that have something to show."""
    return [
        *_noise_plots(found),
        *_transfer_plots(found),
        *_dose_plots(found),
        *_histogram_plots(found),
        *_agreement_plots(found),
        *_calibration_plots(found),
    ]


def _noise_plots(found: Evaluation) -> list[Plot]:
    rows = [row for row in found.noise if row.spectrum is not None]
    series = [_noise_series(row) for row in sorted(rows, key=lambda row: _place(row.image))]
    if not series:
        return []
    unit = unit_of(found)
    return [
        Plot(
            "Noise power spectrum (short lines: mean frequency)",
            "frequency in 1/mm",
            f"power in {unit}² mm²",
            series,
        )
    ]


def _place(image: str) -> int:
    """Sort images: input, restored, reference, then the rest."""
    order = (INPUT, RESTORED, REFERENCE)
    return order.index(image) if image in order else len(order)


def _noise_series(row: NoiseRow) -> Trace:
    assert row.spectrum is not None
    spectrum = row.spectrum
    return Trace(
        f"{row.image} (not trusted)" if row.doubt else row.image,
        spectrum.radial_per_mm.tolist(),
        spectrum.radial_power.tolist(),
        mark=None if row.doubt else spectrum.mean_per_mm,
    )


def _transfer_plots(found: Evaluation) -> list[Plot]:
    plots_of = []
    for edge in dict.fromkeys(row.edge for row in found.transfers):
        series = [
            Trace(row.image, row.transfer.frequency_per_mm.tolist(), row.transfer.transfer.tolist())
            for row in sorted(found.transfers, key=lambda row: _place(row.image))
            if row.edge == edge
        ]
        plots_of.append(
            Plot(
                f"Transfer function at {edge}",
                "frequency in 1/mm",
                "transfer (1 at frequency 0)",
                series,
                (Rule("a half", 0.5), Rule("a tenth", 0.1)),
            )
        )
    return plots_of


def _dose_plots(found: Evaluation) -> list[Plot]:
    """Return d' over the dose for planted discs of the usual contrast."""
    rows = [
        row
        for row in found.detectability
        if math.isfinite(row.dose) and row.contrast == USUAL_CONTRAST_HU
    ]
    plots_of = []
    for signal in dict.fromkeys(row.signal for row in rows):
        of_signal = [row for row in rows if row.signal == signal]
        series = []
        for image in dict.fromkeys(row.image for row in of_signal):
            points = [row for row in of_signal if row.image == image]
            doses, found_at = [row.dose for row in points], [row.found.d_prime for row in points]
            series.append(Trace(image, doses, found_at, dots=image != INPUT))
        plots_of.append(
            Plot(f"Detectability of a disc of {signal}", "dose (1: of the scan)", "d'", series)
        )
    return plots_of


def _histogram_plots(found: Evaluation) -> list[Plot]:
    samples = [sample for sample in found.samples if sample.view == AXIAL]
    if not samples or found.unit is None or found.unit == "RGB":
        return []
    pools = {
        name: np.concatenate([sample.images[name][0][sample.mask] for sample in samples])
        for name in (INPUT, RESTORED, REFERENCE)
        if name in samples[0].images
    }
    if found.unit == "HU":
        low, high = -160.0, 240.0
    else:
        # Background would hide the rest.
        low, high = (float(part) for part in np.percentile(pools[RESTORED], (50.0, 99.8)))
    edges = np.linspace(low, high if high > low else low + 1.0, 101)
    middles = (edges[1:] + edges[:-1]) / 2.0
    series = [
        Trace(name, middles.tolist(), (100.0 * np.histogram(pool, edges)[0] / pool.size).tolist())
        for name, pool in pools.items()
    ]
    label = f"share of pixels in %, steps of {edges[1] - edges[0]:.3g} {found.unit}"
    return [Plot("Histogram of the planes shown", f"value in {found.unit}", label, series)]


def _agreement_plots(found: Evaluation) -> list[Plot]:
    pairs = found.agreement
    if pairs is None:
        return []
    digits = digits_of(found)
    rules = (
        Rule(f"bias {signed(pairs.bias, digits)}", pairs.bias),
        Rule(f"−1.96 SD {signed(pairs.low, digits)}", pairs.low),
        Rule(f"+1.96 SD {signed(pairs.high, digits)}", pairs.high),
    )
    unit = unit_of(found)
    return [
        Plot(
            "Agreement of region means (Bland-Altman)",
            f"mean of restored and reference in {unit}",
            f"restored minus reference in {unit}",
            [Trace("regions", pairs.means, pairs.differences, dots=True)],
            rules,
            from_zero=False,
        )
    ]


def _calibration_plots(found: Evaluation) -> list[Plot]:
    if not found.calibration:
        return []
    given = [row.uncertainty for row in found.calibration]
    error = [row.error for row in found.calibration]
    unit = unit_of(found)
    return [
        Plot(
            "Uncertainty and true error",
            f"uncertainty in {unit}",
            f"error (RMS) in {unit}",
            [Trace("groups of pixels", given, error, dots=True)],
            (Rule("ideal", None),),
        )
    ]
