"""Rows of PET uptake in given regions. No torch here."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.given_regions import RegionSource, region_name
from ratcli.evaluation.uptake import Uptake, recovery, uptake
from ratcli.evaluation.views import ComparedView, named_images
from ratcli.scan import FloatArray


@dataclass(frozen=True)
class UptakeRow:
    """PET figures of one region.

    Attributes:
        name: of the region.
        restored: in the restored image.
        reference: in the reference, or None.
        input: in the input, or None.
        nominal: true uptake, where the region was given with one, in the scan's unit.
    """

    name: str
    restored: Uptake
    reference: Uptake | None
    input: Uptake | None = None
    nominal: float | None = None

    @property
    def truth(self) -> Uptake | None:
        """What to measure recovery against: the nominal uptake, else the reference's."""
        if self.nominal is not None:
            return Uptake(self.nominal, self.nominal, self.nominal, self.restored.volume_ml)
        return self.reference

    def recovery(self, measured: Uptake) -> tuple[float, float, float] | None:
        """Return recovery coefficients of mean, maximum and peak; None without a truth above 0."""
        truth = self.truth
        if truth is None or not min(truth.mean, truth.highest) > 0.0:
            return None
        return recovery(measured, truth)


@dataclass
class UptakeRows:
    """Uptake in given regions, over the whole volume.

    Attributes:
        regions: where to measure, given by the user.
        spacing_mm: between planes, rows and columns.
    """

    regions: RegionSource
    spacing_mm: tuple[float, float, float]
    _planes: dict[str, list[FloatArray]] = field(default_factory=lambda: defaultdict(list))
    _labels: list[npt.NDArray[np.int32]] = field(default_factory=list)

    def add(self, compared: ComparedView) -> None:
        """Keep a plane."""
        for name, image in named_images(compared).items():
            if name in (RESTORED, INPUT, REFERENCE):
                self._planes[name].append(image[0])
        self._labels.append(np.where(compared.mask, compared.labels, -1))

    def rows(self) -> tuple[UptakeRow, ...]:
        """Return a row for each region."""
        labels = np.stack(self._labels)
        volumes = {name: np.stack(planes) for name, planes in self._planes.items()}
        rows = []
        for label in np.unique(labels[labels >= 0]).tolist():
            mask = labels == label
            found = {
                name: uptake(volume, mask, self.spacing_mm) for name, volume in volumes.items()
            }
            rows.append(
                UptakeRow(
                    region_name(self.regions, label),
                    found[RESTORED],
                    found.get(REFERENCE),
                    found.get(INPUT),
                    self.regions.nominal.get(label),
                )
            )
        return tuple(rows)
