"""What an evaluation finds: plain values, which the terminal, JSON, CSV and the report show.

Each kind of figure has a row, a frozen dataclass, and a class that gathers such rows view by view:
`add` takes a view, `rows` returns what was found. What cannot be measured becomes a note.

No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ratcli.evaluation.calibration import CalibrationRow
from ratcli.evaluation.contrast import ContrastRow
from ratcli.evaluation.detectability import DetectabilityRow
from ratcli.evaluation.fidelity import FidelityRow
from ratcli.evaluation.findings import Place, ResidualCheck, ResidualRow
from ratcli.evaluation.noise import NoiseRow
from ratcli.evaluation.phantom import PhantomRow
from ratcli.evaluation.planted import ALL_DISCS, DoseEquivalence
from ratcli.evaluation.regions import Agreement, RegionRow
from ratcli.evaluation.resolution import TransferRow
from ratcli.evaluation.stain import StainRow
from ratcli.evaluation.uptake import UptakeRow
from ratcli.regions import LabelArray
from ratcli.scan import BoolArray, Box, FloatArray

AXIAL, CORONAL, MIP = "planes", "coronal", "maximum projection"
"""Directions in which a scan is shown; a maximum projection is seen from the front."""


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
        uncertainty: standard deviation of each pixel, or None.
        places: suspicious ones.
        patches: in which noise is measured.
        view: `AXIAL` for planes as they are stored, or a direction across all of them.
    """

    plane: int
    images: Mapping[str, FloatArray]
    mask: BoolArray
    labels: LabelArray
    z_map: FloatArray | None = None
    noise_map: FloatArray | None = None
    uncertainty: FloatArray | None = None
    places: tuple[Place, ...] = ()
    patches: tuple[Box, ...] = ()
    view: str = AXIAL


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
        detectability: of discs, by observer.
        equivalences: doses that restorations are worth, where discs were planted.
        residual: a row for each plane, where the input is known and on the same grid.
        uptake: PET figures of given regions.
        stain: H&E figures.
        phantoms: uniformity and linearity.
        agreement: of region means with the reference's, or None.
        calibration: of the uncertainty.
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
    detectability: tuple[DetectabilityRow, ...] = ()
    equivalences: tuple[DoseEquivalence, ...] = ()
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
        for row in reversed(self.equivalences):
            if row.signal == ALL_DISCS:
                return row.sentence
        if self.detectability and not self.noise:
            return "Discs were looked for in images with and without them."
        if not self.residual:
            return "The residual was not checked: the input on the same grid is not known."
        count = len(self.residual)
        if not self.suspicious:
            where = "" if count == 1 else f"In all {count} planes "
            sentence = "the residual looks like noise, and no region's mean moved."
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
