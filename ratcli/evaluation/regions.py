"""Rows of regions: bias and fidelity, by plane, and pooled where regions were given; agreement.

No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from ratcli.errors import MeasurementError
from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED, Comparison
from ratcli.evaluation.fidelity import ErrorMaps, Fidelity, FidelityTally
from ratcli.evaluation.given_regions import region_name
from ratcli.evaluation.quantitation import BiasTally, RegionBias, region_bias
from ratcli.evaluation.views import ComparedView
from ratcli.evaluation.window import Window


@dataclass(frozen=True)
class RegionRow:
    """A region of a plane, or of all planes.

    Attributes:
        name: of the region.
        plane: which, None for all of them.
        against: what the bias is measured against: `reference`, `input`, or `nominal`.
        bias: the restored image's means and their bias.
        fidelity: of the restored image in this region, one for each window; empty without a
            reference.
    """

    name: str
    plane: int | None
    against: str
    bias: RegionBias
    fidelity: tuple[Fidelity, ...] = ()


class RegionRows:
    """Biases and fidelity of regions, by plane; pooled where regions were given."""

    def __init__(self, comparison: Comparison) -> None:
        self._given = comparison.regions
        self._against = REFERENCE if comparison.reference is not None else INPUT
        self._rows: list[RegionRow] = []
        self._pooled, self._nominal = BiasTally(), BiasTally()
        self._scores: dict[int, dict[Window, FidelityTally]] = {}

    def add(self, compared: ComparedView, maps: tuple[ErrorMaps, ...]) -> None:
        """Measure the regions of a view."""
        image = compared.images[RESTORED].mean(axis=0)
        labels = np.where(compared.trusted, compared.labels, -1)
        self._add_nominal(image, labels)
        other = compared.reference if compared.reference is not None else compared.images.get(INPUT)
        if other is None:
            return
        if self._given is not None and self._given.spans_planes:
            self._pooled.add(image, other.mean(axis=0), labels)
            self._pool_scores(labels, maps)
        for label, bias in region_bias(image, other.mean(axis=0), labels).items():
            figures = _region_fidelity(maps, labels == label)
            self._rows.append(
                RegionRow(
                    self._name(label),
                    compared.view.plane,
                    self._against,
                    bias,
                    figures,
                )
            )

    def rows(self) -> tuple[RegionRow, ...]:
        """Return rows of planes, then of all planes, then against nominal values."""
        pooled = [
            RegionRow(self._name(label), None, self._against, bias, self._scores_of(label))
            for label, bias in self._pooled.result().items()
        ]
        nominal = [
            RegionRow(self._name(label), None, "nominal", bias)
            for label, bias in self._nominal.result().items()
        ]
        return (*self._rows, *pooled, *nominal)

    def _pool_scores(self, labels: npt.NDArray[np.integer], maps: tuple[ErrorMaps, ...]) -> None:
        for label in np.unique(labels[labels >= 0]).tolist():
            tallies = self._scores.setdefault(label, {})
            for each in maps:
                tally = tallies.setdefault(each.window, FidelityTally(each.window))
                tally.add_maps(each.inside(labels == label))

    def _scores_of(self, label: int) -> tuple[Fidelity, ...]:
        """Return a region's figures over all planes, none where no pixel of it was scored."""
        try:
            return tuple(tally.result() for tally in self._scores.get(label, {}).values())
        except MeasurementError:
            return ()

    def _add_nominal(
        self, image: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]
    ) -> None:
        if self._given is None or not self._given.nominal:
            return
        known = np.isin(labels, list(self._given.nominal))
        truth = np.zeros(image.shape)
        for label, value in self._given.nominal.items():
            truth[labels == label] = value
        self._nominal.add(image, truth, np.where(known, labels, -1))

    def _name(self, label: int) -> str:
        return region_name(self._given, label)


def agreement_of(regions: tuple[RegionRow, ...]) -> Agreement | None:
    """Compare region means with the reference's: pooled ones where there are, else of planes."""
    rows = [row.bias for row in regions if row.against == REFERENCE and row.plane is None]
    if len(rows) < 3:
        rows = [row.bias for row in regions if row.against == REFERENCE and row.plane is not None]
    if len(rows) < 3:
        return None
    return bland_altman([row.mean for row in rows], [row.other_mean for row in rows])


def _region_fidelity(
    maps: tuple[ErrorMaps, ...], region: npt.NDArray[np.bool_]
) -> tuple[Fidelity, ...]:
    """Return a region's figures, none where no pixel of it is scored."""
    try:
        return tuple(each.over(region) for each in maps)
    except MeasurementError:
        return ()


@dataclass(frozen=True)
class Agreement:
    """Agreement of paired figures.

    Attributes:
        means: `(N,)` of each pair.
        differences: `(N,)`, first less second.
        bias: mean difference.
        bias_low: lower end of its 95 % interval.
        bias_high: upper end.
        low: lower limit of agreement, bias - 1.96 SD.
        high: upper limit.
    """

    means: tuple[float, ...]
    differences: tuple[float, ...]
    bias: float
    bias_low: float
    bias_high: float
    low: float
    high: float


def bland_altman(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Return bias and limits of agreement of paired figures.

    Args:
        first: figures of the restored scan.
        second: of the reference, the same regions.

    Raises:
        MeasurementError: fewer than three pairs.

    Source: Bland and Altman, Lancet 1986; 327:307.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.size < 3 or one.size != two.size:
        raise MeasurementError(
            f"{one.size} pairs are too few to measure agreement; expected three or more"
        )
    difference = one - two
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    half = float(stdtrit(one.size - 1, 0.975)) * spread / math.sqrt(one.size)
    return Agreement(
        means=tuple(((one + two) / 2.0).tolist()),
        differences=tuple(difference.tolist()),
        bias=bias,
        bias_low=bias - half,
        bias_high=bias + half,
        low=bias - 1.96 * spread,
        high=bias + 1.96 * spread,
    )
