"""Findings of the residual check: figures, their limits, and a sentence on each. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ratcli.evaluation.quantitation import RegionBias
from ratcli.scan import FloatArray

RealArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """Limits up to which figures of the residual look like noise.

    Attributes:
        unit: of the scan's values and of `bias`.
        edge_ratio: residual at edges over that beside them; an ideal denoiser has 1. Three times
            the sampling error of the edge pixels is added to this and to the next limit.
        correlation: with the image's detail at edges, minus the same beside them; an ideal
            denoiser has 0, a blur more.
        spot_z: highest mean over a spot in standard deviations; ideal below 5.
        line_z: the same along a line three spots long.
        spot_mm: diameter of the spots to look for: the smallest object of interest.
        by_value: whether noise depends on the value, as in PET, and not on the place alone.
        bias: of a region's mean, in the scan's unit.
        bias_share: the same as a share of the region's mean; the larger of both counts.
        bias_z: a bias must also be this many standard errors from zero.
    """

    unit: str
    edge_ratio: float = 1.1
    correlation: float = 0.05
    spot_z: float = 5.5
    line_z: float = 6.5
    spot_mm: float = 4.0
    by_value: bool = False
    bias: float = 2.0
    bias_share: float = 0.0
    bias_z: float = 4.0


LIMITS: dict[str, Limits] = {
    "HU": Limits("HU", bias_share=0.005),
    "SUV": Limits("SUV", bias=0.02, bias_share=0.03, spot_mm=12.0, by_value=True),
    "Bq/ml": Limits("Bq/ml", bias=0.0, bias_share=0.03, spot_mm=12.0, by_value=True),
    "RGB": Limits("RGB", bias=0.01),
}
"""Limits by unit of the scan."""


@dataclass(frozen=True)
class Place:
    """A suspicious place.

    Attributes:
        row: of its strongest pixel.
        column: of it.
        kind: `spot` or `line`.
        z: its strength in standard deviations, positive where the input is brighter.
        change: `removed` where the input shows more structure there than the output, else `added`.
    """

    row: int
    column: int
    kind: str
    z: float
    change: str

    def __str__(self) -> str:
        return f"{self.kind} {self.change}, {abs(self.z):.1f} SD"


@dataclass(frozen=True)
class Finding:
    """One figure and what it means.

    Attributes:
        name: a few words.
        value: the figure.
        limit: highest value that looks like noise.
        unit: of both, empty where they are ratios.
        passed: whether it stays within the limit.
        sentence: what was found, for the report.
    """

    name: str
    value: float
    limit: float
    unit: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class ResidualCheck:
    """What the residual of one plane looks like.

    Attributes:
        findings: edge ratio, correlation, spot, line, bias; in this order.
        biases: of every region, output minus input.
        places: suspicious ones, the strongest first.
        z_map: float32 `(H, W)`, the largest |z| of spots and lines.
        noise: of the residual, in the scan's unit.
    """

    findings: tuple[Finding, ...]
    biases: dict[int, RegionBias]
    places: tuple[Place, ...]
    z_map: FloatArray
    noise: float

    @property
    def passed(self) -> bool:
        """Whether all figures stay within their limits."""
        return all(finding.passed for finding in self.findings)

    @property
    def reasons(self) -> str:
        """What does not look like noise, empty if all does."""
        return "; ".join(finding.sentence for finding in self.findings if not finding.passed)

    @property
    def verdict(self) -> str:
        """One sentence that says what was found."""
        if self.passed:
            return "The residual looks like noise, and no region's mean moved."
        return f"The residual does not look like noise: {self.reasons}."


class AtEdges(NamedTuple):
    """Figures at edges, and the number of pixels they are measured in."""

    ratio: float
    correlation: float
    pixels: int


def edge_finding(edges: AtEdges, limits: Limits) -> Finding:
    """Judge how much stronger the residual is at edges; the limit grows with the sampling error."""
    # Neighbours share their noise: about four pixels count as one.
    limit = limits.edge_ratio + 3.0 * math.sqrt(2.0 / edges.pixels)
    sentence = f"it is {edges.ratio:.2f} times as strong at edges as beside them (ideal 1)"
    return Finding("edge to flat ratio", edges.ratio, limit, "", edges.ratio <= limit, sentence)


def correlation_finding(edges: AtEdges, limits: Limits) -> Finding:
    """Judge how far the residual follows the image's detail at edges."""
    value = edges.correlation
    limit = limits.correlation + 3.0 * math.sqrt(4.0 / edges.pixels)
    sentence = f"it follows the image's detail at edges (correlation {value:+.2f}, ideal 0)"
    # Below 0 is harmless: noise left in the output shows as detail beside edges.
    return Finding("correlation with detail", value, limit, "", value <= limit, sentence)


def place_finding(kind: str, z: RealArray, limit: float, places: list[Place]) -> Finding:
    """Judge the strongest spot or line of a z map `(H, W)`."""
    value = float(np.abs(z).max())
    mine = [place for place in places if place.kind == kind]
    counts = [
        f"{sum(place.change == change for place in mine)} {change}"
        for change in ("removed", "added")
    ]
    sentence = (
        f"{len(mine)} {kind}s stand out ({', '.join(counts)}), the strongest at {value:.1f} SD"
    )
    return Finding(f"strongest {kind}", value, limit, "SD", value <= limit, sentence)


def bias_finding(biases: dict[int, RegionBias], limits: Limits) -> Finding:
    """Judge the region whose mean moved most, of those that noise does not explain."""
    moved = [bias for bias in biases.values() if _certain(bias, limits)]
    worst = max(moved, key=lambda bias: abs(bias.bias), default=None)
    if worst is None:
        return Finding("region bias", 0.0, limits.bias, limits.unit, True, "no region's mean moved")
    limit = max(limits.bias, limits.bias_share * abs(worst.other_mean))
    passed = all(
        abs(bias.bias) <= max(limits.bias, limits.bias_share * abs(bias.other_mean))
        for bias in moved
    )
    sentence = f"the mean of region {worst.label} moved by {worst.bias:+.3g} {limits.unit}"
    return Finding("region bias", worst.bias, limit, limits.unit, passed, sentence)


def _certain(bias: RegionBias, limits: Limits) -> bool:
    """Return whether a bias is further from zero than noise explains."""
    error = (bias.high - bias.low) / (2.0 * 1.96)
    return math.isfinite(error) and abs(bias.bias) > limits.bias_z * error


@dataclass(frozen=True)
class ResidualRow:
    """The residual check of one plane."""

    plane: int
    check: ResidualCheck
