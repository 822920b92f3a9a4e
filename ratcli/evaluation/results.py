"""What an evaluation finds: plain values, which the terminal, JSON, CSV and the report show.

No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ratcli.evaluation.activity import Agreement, Uptake, recovery
from ratcli.evaluation.fidelity import Fidelity
from ratcli.evaluation.noise import Spectrum
from ratcli.evaluation.quantitation import Linearity, RegionBias, Uniformity
from ratcli.evaluation.residual import Place, ResidualCheck
from ratcli.evaluation.resolution import Transfer
from ratcli.evaluation.stain import ColourDifference, StainShift
from ratcli.regions import LabelArray
from ratcli.scan import BoolArray, FloatArray


@dataclass(frozen=True)
class FidelityRow:
    """Fidelity of one image to the reference.

    Attributes:
        image: `restored`, `input`, or a baseline's name.
        plane: which, None for all of them pooled.
        fidelity: the figures, with their window.
    """

    image: str
    plane: int | None
    fidelity: Fidelity


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


@dataclass(frozen=True)
class NoiseRow:
    """Noise of one image.

    Attributes:
        image: its name.
        levels: noise level of each view, in the scan's unit; nan where it shows none.
        spectrum: over uniform patches of all views, the same ones for each image; or None.
    """

    image: str
    levels: tuple[float, ...]
    spectrum: Spectrum | None

    @property
    def level(self) -> float:
        """Median of the levels, nan where there is none."""
        finite = [level for level in self.levels if math.isfinite(level)]
        return float(np.median(finite)) if finite else math.nan


@dataclass(frozen=True)
class TransferRow:
    """A task transfer function of one image at one edge."""

    image: str
    edge: str
    transfer: Transfer


@dataclass(frozen=True)
class Contrast:
    """A region's contrast to its background, in one image.

    Attributes:
        inside: mean of the region, in the scan's unit.
        background: mean of the background.
        noise: standard deviation of the background inside planes.
        pixels: of the region, over all planes.
        background_pixels: of the background.
    """

    inside: float
    background: float
    noise: float
    pixels: int
    background_pixels: int

    @property
    def cnr(self) -> float:
        """|inside - background| over the noise; nan where the background is constant."""
        if self.noise == 0.0:
            return math.nan
        return abs(self.inside - self.background) / self.noise


@dataclass(frozen=True)
class ContrastRow:
    """Contrast to noise of one image in one region.

    Attributes:
        image: its name.
        region: name of the region, or of a phantom's insert.
        background: name of the region beside which it stands; `ring` for the pixels around it.
        contrast: the figures.
    """

    image: str
    region: str
    background: str
    contrast: Contrast


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


@dataclass(frozen=True)
class StainRow:
    """H&E figures of one image in one view."""

    image: str
    plane: int
    stain: StainShift
    colour: ColourDifference
    sharpness: float


@dataclass(frozen=True)
class PhantomRow:
    """Figures of a phantom in one image."""

    image: str
    uniformity: Uniformity | None
    linearity: Linearity | None


@dataclass(frozen=True)
class ResidualRow:
    """The residual check of one plane."""

    plane: int
    check: ResidualCheck


@dataclass(frozen=True)
class CalibrationRow:
    """Told uncertainty beside true error, over pixels of like uncertainty.

    Attributes:
        told: root mean square of the told standard deviations, in the scan's unit.
        error: root mean square of restored less reference in the same pixels.
        pixels: number of pixels.
    """

    told: float
    error: float
    pixels: int


@dataclass(frozen=True)
class Sample:
    """A plane kept to be shown in the report.

    Attributes:
        plane: which.
        images: float32 `(C, H, W)` by name, the reference among them.
        mask: `(H, W)`, false in padding.
        labels: `(H, W)`, -1 outside regions.
        z_map: of the residual check, or None.
        noise_map: of the restored image, or None.
        uncertainty: told standard deviation, or None.
        places: suspicious ones.
    """

    plane: int
    images: Mapping[str, FloatArray]
    mask: BoolArray
    labels: LabelArray
    z_map: FloatArray | None
    noise_map: FloatArray | None
    uncertainty: FloatArray | None
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Evaluation:
    """All that was measured on one scan.

    Attributes:
        planes: of the scan.
        height: rows.
        width: columns.
        spacing_mm: between planes, rows and columns; None where unknown.
        unit: of all values.
        protocol: `native`, or `rat-paper` (8-bit Y, comparable with the paper's tables alone).
        fidelity: rows of planes and of the whole scan; empty without a reference.
        regions: rows of planes, and of all planes where regions were given.
        noise: a row for each image.
        transfers: at given discs and edges, or at a phantom's.
        contrasts: of given regions and of a phantom's inserts, in each image.
        residual: a row for each plane, where the input is known and on the same grid.
        uptake: PET figures of given regions.
        stain: H&E figures.
        phantoms: uniformity and linearity.
        agreement: of region means with the reference's, or None.
        calibration: of the told uncertainty.
        notes: what could not be measured and why; sentences.
        samples: planes for the report.
    """

    planes: int
    height: int
    width: int
    spacing_mm: tuple[float | None, float | None, float | None]
    unit: str | None
    protocol: str = "native"
    fidelity: tuple[FidelityRow, ...] = ()
    regions: tuple[RegionRow, ...] = ()
    noise: tuple[NoiseRow, ...] = ()
    transfers: tuple[TransferRow, ...] = ()
    contrasts: tuple[ContrastRow, ...] = ()
    residual: tuple[ResidualRow, ...] = ()
    uptake: tuple[UptakeRow, ...] = ()
    stain: tuple[StainRow, ...] = ()
    phantoms: tuple[PhantomRow, ...] = ()
    agreement: Agreement | None = None
    calibration: tuple[CalibrationRow, ...] = ()
    notes: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = field(default=(), repr=False)

    @property
    def pooled(self) -> tuple[FidelityRow, ...]:
        """Fidelity rows of the whole scan."""
        return tuple(row for row in self.fidelity if row.plane is None)

    @property
    def suspicious(self) -> tuple[ResidualRow, ...]:
        """Planes whose residual does not look like noise."""
        return tuple(row for row in self.residual if not row.check.passed)

    @property
    def verdict(self) -> str:
        """One sentence on the residual of the whole scan."""
        if not self.residual:
            return "The residual was not checked: the input on the same grid is not known."
        count = len(self.residual)
        if not self.suspicious:
            where = "" if count == 1 else f"In all {count} planes "
            sentence = "the residual looks like noise, and no region's mean left the input's."
            return (where + sentence) if where else sentence.capitalize()
        worst = max(self.suspicious, key=lambda row: _excess(row.check))
        if count == 1:
            return worst.check.verdict
        return (
            f"In {len(self.suspicious)} of {count} planes the residual does not look "
            f"like noise; most in plane {worst.plane + 1}: {worst.check.reasons}."
        )


def _excess(check: ResidualCheck) -> float:
    """Return how far the worst figure lies beyond its limit, as a ratio."""
    return max(
        (abs(found.value) / max(found.limit, 1e-9) for found in check.findings if not found.passed),
        default=0.0,
    )
