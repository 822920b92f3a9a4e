"""The summary of a report: a verdict in one sentence on each kind of figure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ratcli.evaluation.comparison import INPUT, RESTORED
from ratcli.evaluation.findings import LIMITS
from ratcli.evaluation.regions import RegionRow
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.tables.table import digits_of, in_plane, interval, number, signed, unit_of

GOOD, LOOK, NEUTRAL = "good", "look", "neutral"
# Of the order of SUV's repeatability between two scans of a patient (QIBA FDG-PET/CT profile).
_UPTAKE_LIMIT = 10.0


@dataclass(frozen=True)
class Card:
    """A verdict in the summary: `status` is `good`, `look` or `neutral`."""

    title: str
    status: str
    text: str


def cards(found: Evaluation) -> list[Card]:
    """Return the verdicts of the summary."""
    status = NEUTRAL if not found.residual else LOOK if found.suspicious else GOOD
    title = "Residual" if found.noise or not found.detectability else "Detectability"
    result = [Card(title, status, found.verdict)]
    for card in (
        _bias_card(found),
        _uptake_card(found),
        _noise_card(found),
        _fidelity_card(found),
    ):
        if card is not None:
            result.append(card)
    # A number and its sign stay on one line.
    return [replace(card, text=card.text.replace(" %", "\N{NO-BREAK SPACE}%")) for card in result]


def _bias_card(found: Evaluation) -> Card | None:
    every = [row for row in found.regions if row.against != "nominal"]
    # A given region is judged as a whole: some of its many planes differ by chance.
    rows = [row for row in every if row.plane is None] or every
    if not rows:
        return None
    limits = LIMITS.get(found.unit or "")
    sure = [row for row in rows if row.bias.differs and limits is not None]
    beyond = [row for row in sure if limits and _beyond(row, limits.bias, limits.bias_share)]
    if not beyond:
        text = f"No mean of {len(rows)} regions moved beyond the limit and its 95 % interval."
        return Card("Region means", GOOD if limits else NEUTRAL, text)
    worst = max(beyond, key=lambda row: abs(row.bias.bias))
    bias, digits = worst.bias, digits_of(found)
    text = (
        f"{len(beyond)} of {len(rows)} region means moved beyond the limit, most of all "
        f"{worst.name}{in_plane(worst.plane)}: by {signed(bias.bias, digits)} {unit_of(found)} "
        f"against the {worst.against} (95 % interval {interval(bias.low, bias.high, digits)})."
    )
    return Card("Region means", LOOK, text)


def _beyond(row: RegionRow, limit: float, share: float) -> bool:
    return abs(row.bias.bias) > max(limit, share * abs(row.bias.other_mean))


def _uptake_card(found: Evaluation) -> Card | None:
    """Judge the mean and the peak; the maximum is one voxel, and falls with the noise."""
    shares = [
        (
            100.0 * (getattr(row.restored, figure) / getattr(row.reference, figure) - 1.0),
            row,
            figure,
        )
        for row in found.uptake
        for figure in ("mean", "peak")
        if row.reference is not None and getattr(row.reference, figure) > 0.0
    ]
    if not shares:
        return None
    share, row, figure = max(shares, key=lambda each: abs(each[0]))
    text = (
        f"Of {len(found.uptake)} regions, SUV{figure} of {row.name} moved most: "
        f"by {signed(share, 1)} % against the reference (limit {_UPTAKE_LIMIT:.0f} %)."
    )
    return Card("Uptake", LOOK if abs(share) > _UPTAKE_LIMIT else GOOD, text)


def _noise_card(found: Evaluation) -> Card | None:
    rows = {row.image: row for row in found.noise}
    restored, noisy = rows.get(RESTORED), rows.get(INPUT)
    if restored is None or math.isnan(restored.noise):
        return None
    unit = unit_of(found)
    if noisy is None or math.isnan(noisy.noise):
        return Card("Noise", NEUTRAL, f"The noise is {restored.noise:.3g} {unit}.")
    change = 100.0 * (restored.noise / noisy.noise - 1.0)
    text = (
        f"The noise went from {noisy.noise:.3g} to {restored.noise:.3g} {unit} "
        f"({signed(change, 0)} %)."
    )
    status = GOOD if change < 0 else LOOK
    if restored.spectrum is not None and noisy.spectrum is not None:
        before, after = noisy.spectrum.mean_per_mm, restored.spectrum.mean_per_mm
        text += f" Its mean frequency went from {before:.2f} to {after:.2f}/mm"
        coarse = after < 0.8 * before
        text += ": the remaining noise is coarser than before." if coarse else "."
        status = LOOK if coarse else status
    return Card("Noise", status, text)


def _fidelity_card(found: Evaluation) -> Card | None:
    rows = [row for row in found.pooled if row.image == RESTORED]
    if not rows:
        return None
    parts, status = [], GOOD
    for row in rows:
        window = row.fidelity.window
        others = [
            other.fidelity.psnr_db
            for other in found.pooled
            if other.image in (INPUT, "bicubic") and other.fidelity.window == window
        ]
        before = f"from {number(others[0])} " if others else ""
        parts.append(f"{before}to {number(row.fidelity.psnr_db)} dB over {window}")
        if others and row.fidelity.psnr_db < others[0]:
            status = LOOK
    return Card("Fidelity", status if len(rows) else NEUTRAL, "PSNR went " + "; ".join(parts) + ".")
