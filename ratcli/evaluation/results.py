"""What an evaluation finds: plain values, which the terminal, JSON, CSV and the report show.

No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass

import numpy as np

from ratcli.evaluation.activity import Agreement, Uptake
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
class UptakeRow:
    """PET figures of one region, in the restored image and in the reference (or None)."""

    name: str
    restored: Uptake
    reference: Uptake | None


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
        if not self.suspicious:
            return (
                f"In all {len(self.residual)} planes the residual looks like noise, and no "
                "region's mean has moved."
            )
        worst = max(self.suspicious, key=lambda row: _excess(row.check))
        return (
            f"In {len(self.suspicious)} of {len(self.residual)} planes the residual does not look "
            f"like noise; most in plane {worst.plane + 1}: {worst.check.reasons}."
        )

    def to_dict(self) -> dict[str, object]:
        """Return all figures as JSON knows them: no arrays of pixels, null for nan and infinity."""
        return {
            part.name: _plain(getattr(self, part.name))
            for part in fields(self)
            if part.name != "samples"
        } | {"verdict": self.verdict}

    def table(self) -> Iterator[dict[str, object]]:
        """Yield one row for each plane and region, for CSV; each has the same columns.

        The whole plane is the region `all`. A figure's column tells its window.
        """
        windows = {str(row.fidelity.window): None for row in self.fidelity}
        for plane_row in self._plane_rows():
            yield _csv_row(plane_row, windows)
        for row in self.regions:
            yield _csv_row(_region_cells(row), windows)

    def _plane_rows(self) -> Iterator[dict[str, object]]:
        """Yield cells of whole planes, one for each image and plane."""
        cells: dict[tuple[str, int | None], dict[str, object]] = {}
        for row in self.fidelity:
            key = (row.image, row.plane)
            start = {"image": row.image, "plane": row.plane, "region": "all"}
            cells.setdefault(key, {**start, "pixels": row.fidelity.pixels})
            cells[key] |= _fidelity_cells(row.fidelity)
        yield from cells.values()


_BASE_COLUMNS = (
    "image", "plane", "region", "pixels", "mean", "sd", "against", "other_mean",
    "bias", "bias_low", "bias_high",
)  # fmt: skip


def _csv_row(cells: Mapping[str, object], windows: Mapping[str, None]) -> dict[str, object]:
    """Return cells under the same columns for every row, planes counted from 1."""
    names = [*_BASE_COLUMNS]
    for window in windows:
        names += [f"{figure} {window}" for figure in ("psnr_db", "ssim", "rmse")]
    row = {name: cells.get(name, "") for name in names}
    plane = cells.get("plane")
    row["plane"] = plane + 1 if isinstance(plane, int) else "all"
    return row


def _region_cells(row: RegionRow) -> dict[str, object]:
    bias = row.bias
    cells: dict[str, object] = {
        "image": "restored", "plane": row.plane, "region": row.name, "pixels": bias.pixels,
        "mean": bias.mean, "sd": bias.sd, "against": row.against, "other_mean": bias.other_mean,
        "bias": bias.bias, "bias_low": bias.low, "bias_high": bias.high,
    }  # fmt: skip
    for fidelity in row.fidelity:
        cells |= _fidelity_cells(fidelity)
    return cells


def _fidelity_cells(fidelity: Fidelity) -> dict[str, object]:
    window = str(fidelity.window)
    return {
        f"psnr_db {window}": fidelity.psnr_db,
        f"ssim {window}": fidelity.ssim,
        f"rmse {window}": fidelity.rmse,
    }


def _excess(check: ResidualCheck) -> float:
    """Return how far the worst figure lies beyond its limit, as a ratio."""
    return max(
        (abs(found.value) / max(found.limit, 1e-9) for found in check.findings if not found.passed),
        default=0.0,
    )


def _plain(value: object) -> object:
    """Return a value as JSON knows it; arrays of two axes (maps) are left out."""
    if isinstance(value, Spectrum):
        return _spectrum(value)
    if isinstance(value, Transfer):
        return _transfer(value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: getattr(value, part.name) for part in fields(value)}
        return {name: _plain(part) for name, part in parts.items() if not _is_map(part)}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value.tolist()]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _spectrum(value: Spectrum) -> dict[str, object]:
    return {
        "variance": value.variance,
        "raw_variance": value.raw_variance,
        "integral": value.integral,
        "peak_per_mm": value.peak_per_mm,
        "mean_per_mm": value.mean_per_mm,
        "mean_2d_per_mm": value.mean_2d_per_mm,
        "anisotropy": value.anisotropy,
        "patches": value.patches,
        "patch_side_px": value.side_px,
        "radial_per_mm": value.radial_per_mm.tolist(),
        "radial_power": value.radial_power.tolist(),
    }


def _transfer(value: Transfer) -> dict[str, object]:
    return {
        "f50_per_mm": _plain(value.f50_per_mm),
        "f10_per_mm": _plain(value.f10_per_mm),
        "contrast": value.contrast,
        "noise": value.noise,
        "frequency_per_mm": value.frequency_per_mm.tolist(),
        "transfer": value.transfer.tolist(),
    }


def _is_map(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim >= 2
