"""Fidelity and region figures of a comparison, gathered scene by scene. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ratcli.errors import MeasurementError
from ratcli.evaluation.activity import Agreement, bland_altman
from ratcli.evaluation.fidelity import ErrorMaps, Fidelity, FidelityTally, error_maps, studio_luma
from ratcli.evaluation.quantitation import BiasTally, RegionBias, linearity, region_bias
from ratcli.evaluation.results import FidelityRow, PhantomRow, RegionRow
from ratcli.evaluation.scene import INPUT, REFERENCE, RESTORED, Comparison, Scene
from ratcli.evaluation.window import Window
from ratcli.scan import BoolArray, FloatArray

NATIVE, RAT_PAPER = "native", "rat-paper"


@dataclass
class ScoreTable:
    """Fidelity of every image, by plane and pooled."""

    windows: tuple[Window, ...]
    protocol: str
    _tallies: dict[tuple[str, int | None, Window], FidelityTally] = field(default_factory=dict)

    def add(self, scene: Scene) -> tuple[ErrorMaps, ...]:
        """Score a scene; return the restored image's maps, one for each window."""
        if scene.reference is None:
            return ()
        kept = []
        for window in self.windows:
            for name, image in scene.images.items():
                maps = self._maps(image, scene.reference, scene.mask, window)
                for plane in (scene.view.plane, None):
                    key = (name, plane, maps.window)
                    self._tallies.setdefault(key, FidelityTally(maps.window)).add_maps(maps)
                if name == RESTORED:
                    kept.append(maps)
        return tuple(kept)

    def rows(self) -> tuple[FidelityRow, ...]:
        """Return a row for each image, plane and window, and for all planes pooled."""
        return tuple(
            FidelityRow(name, plane, tally.result())
            for (name, plane, _), tally in self._tallies.items()
        )

    def _maps(
        self, image: FloatArray, reference: FloatArray, mask: BoolArray, window: Window
    ) -> ErrorMaps:
        if self.protocol == NATIVE:
            return error_maps(image, reference, window, mask)
        luma = Window(f"rat-paper of {window}", 0.0, 255.0, "8-bit Y")
        return error_maps(studio_luma(image, window), studio_luma(reference, window), luma, mask)


class RegionTable:
    """Biases and fidelity of regions, by plane; pooled where regions were given."""

    def __init__(self, comparison: Comparison) -> None:
        self._given = comparison.regions
        self._against = REFERENCE if comparison.reference is not None else INPUT
        self._rows: list[RegionRow] = []
        self._pooled, self._nominal = BiasTally(), BiasTally()
        self._scores: dict[int, dict[Window, FidelityTally]] = {}

    def add(self, scene: Scene, maps: tuple[ErrorMaps, ...]) -> None:
        """Measure the regions of a scene."""
        image = scene.images[RESTORED].mean(axis=0)
        labels = np.where(scene.trusted, scene.labels, -1)
        self._add_nominal(image, labels)
        other = scene.reference if scene.reference is not None else scene.images.get(INPUT)
        if other is None:
            return
        if self._given is not None and self._given.lasting:
            self._pooled.add(image, other.mean(axis=0), labels)
            self._pool_scores(labels, maps)
        for label, bias in region_bias(image, other.mean(axis=0), labels).items():
            figures = _region_fidelity(maps, labels == label)
            self._rows.append(
                RegionRow(self._name(label), scene.view.plane, self._against, bias, figures)
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
        names = {} if self._given is None else self._given.names
        return names.get(label, f"region {label}")


def _region_fidelity(
    maps: tuple[ErrorMaps, ...], region: npt.NDArray[np.bool_]
) -> tuple[Fidelity, ...]:
    """Return a region's figures, none where no pixel of it is scored."""
    try:
        return tuple(each.over(region) for each in maps)
    except MeasurementError:
        return ()


def agreement_of(regions: tuple[RegionRow, ...]) -> Agreement | None:
    """Compare region means with the reference's: pooled ones where there are, else of planes."""
    rows = [row.bias for row in regions if row.against == REFERENCE and row.plane is None]
    if len(rows) < 3:
        rows = [row.bias for row in regions if row.against == REFERENCE and row.plane is not None]
    if len(rows) < 3:
        return None
    return bland_altman([row.mean for row in rows], [row.other_mean for row in rows])


def linear_rows(regions: tuple[RegionRow, ...]) -> tuple[PhantomRow, ...]:
    """Fit measured against nominal means, where three or more differ."""
    rows: list[RegionBias] = [row.bias for row in regions if row.against == "nominal"]
    try:
        fit = linearity([row.other_mean for row in rows], [row.mean for row in rows])
    except MeasurementError:
        return ()
    return (PhantomRow(RESTORED, None, fit),)
