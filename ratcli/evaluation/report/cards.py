"""The summary of a report: a verdict in one sentence on each kind of figure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.findings import LIMITS
from ratcli.evaluation.noise import NoiseRow
from ratcli.evaluation.regions import RegionRow
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.tables.table import digits_of, in_plane, interval, number, signed, unit_of

GOOD, LOOK, NEUTRAL = "good", "look", "neutral"
# Of the order of SUV's repeatability between two scans of a patient (QIBA FDG-PET/CT profile).
_UPTAKE_LIMIT = 10.0
# A difference below this share of the highest uptake is that of air or background.
_UPTAKE_FLOOR = 0.02
# Mean frequency of the noise as a share of that before.
_COARSE = 0.8
# Noise is the inverse root of the dose: a quarter of the input's noise would be that of 16 times
# its dose, and half of the reference's that of four times the dose of the reference.
_LEAST_OF_INPUT, _LEAST_OF_REFERENCE = 0.25, 0.5


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
    result = [Card(title, status, found.verdict + _residual_limits(found))]
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


def _residual_limits(found: Evaluation) -> str:
    """Return the limits of the residual check, the highest of all planes."""
    highest: dict[str, str] = {}
    for row in sorted(found.residual, key=lambda row: [each.limit for each in row.check.findings]):
        for each in row.check.findings:
            highest[each.name] = f"{each.name} {number(each.limit)} {each.unit}".strip()
    return f" Limits: {', '.join(highest.values())}." if highest else ""


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
        text = f"No mean of {len(rows)} regions moved beyond {_bias_limit(found)}."
        return Card("Region means", GOOD if limits else NEUTRAL, text)
    worst = max(beyond, key=lambda row: abs(row.bias.bias))
    bias, digits = worst.bias, digits_of(found)
    text = (
        f"{len(beyond)} of {len(rows)} region means moved beyond {_bias_limit(found)}, most of all "
        f"{worst.name}{in_plane(worst.plane)}: by {signed(bias.bias, digits)} {unit_of(found)} "
        f"against the {worst.against} (95 % interval {interval(bias.low, bias.high, digits)})."
    )
    return Card("Region means", LOOK, text)


def _bias_limit(found: Evaluation) -> str:
    limits = LIMITS.get(found.unit or "")
    if limits is None:
        return "its 95 % interval"
    parts = [f"{limits.bias:g} {limits.unit}"] if limits.bias else []
    parts += [f"{100 * limits.bias_share:g} %"] if limits.bias_share else []
    return f"the limit of {' or '.join(parts)} with a 95 % interval that excludes 0"


def _beyond(row: RegionRow, limit: float, share: float) -> bool:
    return abs(row.bias.bias) > max(limit, share * abs(row.bias.other_mean))


def _uptake_card(found: Evaluation) -> Card | None:
    """Judge the mean and the peak; the maximum is one voxel, and falls with the noise."""
    pairs = [
        (getattr(row.restored, figure), getattr(row.reference, figure), row, figure)
        for row in found.uptake
        for figure in ("mean", "peak")
        if row.reference is not None and getattr(row.reference, figure) > 0.0
    ]
    floor = _UPTAKE_FLOOR * max((other for _, other, _, _ in pairs), default=0.0)
    shares = [
        (100.0 * (value / other - 1.0) if abs(value - other) > floor else 0.0, row, figure)
        for value, other, row, figure in pairs
    ]
    if not shares:
        return None
    share, row, figure = max(shares, key=lambda each: abs(each[0]))
    limit = f"{_UPTAKE_LIMIT:.0f} % and {floor:.2g} {unit_of(found)}"
    text = (
        f"Of {len(found.uptake)} regions, SUV{figure} of {row.name} moved most: "
        f"by {signed(share, 1)} % against the reference (limit: {limit})."
        if share
        else f"No mean or peak of {len(found.uptake)} regions moved by more than {limit}."
    )
    return Card("Uptake", LOOK if abs(share) > _UPTAKE_LIMIT else GOOD, text)


def _noise_card(found: Evaluation) -> Card | None:
    """Judge that noise fell, that enough of it is left, and that it is no coarser."""
    rows = {row.image: row for row in found.noise}
    restored, noisy = rows.get(RESTORED), rows.get(INPUT)
    if restored is None or math.isnan(restored.noise):
        return None
    unit = unit_of(found)
    if noisy is None or math.isnan(noisy.noise):
        return Card("Noise", NEUTRAL, f"The noise is {restored.noise:.3g} {unit}.")
    change = 100.0 * (restored.noise / noisy.noise - 1.0)
    least, whose = _least_noise(noisy.noise, rows.get(REFERENCE))
    text = (
        f"The noise went from {noisy.noise:.3g} to {restored.noise:.3g} {unit} "
        f"({signed(change, 0)} %; limits: {least:.3g}, {whose}, to {noisy.noise:.3g} {unit})."
    )
    status = GOOD if least <= restored.noise < noisy.noise else LOOK
    if restored.noise < least:
        text += " So little noise is a sign of smoothing: fine detail may be gone with it."
    if restored.trusted is None or noisy.trusted is None:
        return Card("Noise", status, text + " Its frequency is not known: the patches show more.")
    before, after = noisy.trusted.mean_per_mm, restored.trusted.mean_per_mm
    coarse = after < _COARSE * before
    text += (
        f" Its mean frequency went from {before:.3g} to {after:.3g}/mm (limit: "
        f"{_COARSE * before:.3g}/mm){': what is left is coarser than before.' * coarse or '.'}"
    )
    return Card("Noise", LOOK if coarse else status, text)


def _least_noise(noise: float, reference: NoiseRow | None) -> tuple[float, str]:
    """Return the least noise that a restoration should leave, and what it is a share of."""
    if reference is None:
        return _LEAST_OF_INPUT * noise, f"{100 * _LEAST_OF_INPUT:.0f} % of the input's"
    # A simulated reference may have none.
    of_reference = 0.0 if math.isnan(reference.noise) else reference.noise
    return (
        _LEAST_OF_REFERENCE * of_reference,
        f"{100 * _LEAST_OF_REFERENCE:.0f} % of the reference's",
    )


def _fidelity_card(found: Evaluation) -> Card | None:
    rows = [row for row in found.pooled if row.image == RESTORED]
    if not rows:
        return None
    parts, status = [], NEUTRAL
    for row in rows:
        window = row.fidelity.window
        others = [
            other.fidelity.psnr_db
            for other in found.pooled
            if other.image in (INPUT, "bicubic") and other.fidelity.window == window
        ]
        before = f"from {number(others[0])} " if others else ""
        parts.append(f"{before}to {number(row.fidelity.psnr_db)} dB over {window}")
        if others and status != LOOK:
            status = LOOK if row.fidelity.psnr_db < others[0] else GOOD
    limit = "" if status == NEUTRAL else " Limit: not below that of the input."
    return Card("Fidelity", status, "PSNR went " + "; ".join(parts) + "." + limit)
