"""Evaluate a restored scan: everything that can be measured with what is given.

No torch here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ratcli.errors import MeasurementError, UsageError
from ratcli.evaluation.baselines import Baseline
from ratcli.evaluation.calibration import CalibrationRows
from ratcli.evaluation.comparison import INPUT, RESTORED, Comparison
from ratcli.evaluation.contrast import ContrastRows
from ratcli.evaluation.detectability import eye_rows
from ratcli.evaluation.fidelity import NATIVE, RAT_PAPER, FidelityRows
from ratcli.evaluation.findings import LIMITS, ResidualCheck, ResidualRow
from ratcli.evaluation.given_regions import Disc, DrawnRegions
from ratcli.evaluation.noise import NoiseRows
from ratcli.evaluation.phantom import (
    BODY,
    PhantomRow,
    inserts_of,
    linear_rows,
    phantom_edges,
    phantom_rows,
)
from ratcli.evaluation.projections import Projections
from ratcli.evaluation.regions import RegionRows, agreement_of
from ratcli.evaluation.residual import check_residual
from ratcli.evaluation.resolution import TransferRows
from ratcli.evaluation.results import Evaluation, Sample
from ratcli.evaluation.stain import StainRow, stain_rows
from ratcli.evaluation.uptake import UptakeRows
from ratcli.evaluation.views import ComparedView, named_images, read_view, views_of
from ratcli.evaluation.window import Window, measured_unit, refuse_unknown_unit, windows_of
from ratcli.physics.local_noise import noise_map
from ratcli.scan import Box

ViewProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate.

    Attributes:
        windows: in which to score; those of the scan's unit where empty.
        baselines: to run on the input.
        protocol: `native`, or `rat-paper`: 8-bit Y of one window, as the authors' script scores.
        shown: most planes to keep for the report.
        phantom: look for a round body and round inserts, and measure uniformity and resolution.
    """

    windows: tuple[Window, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    protocol: str = NATIVE
    shown: int = 20
    phantom: bool = False


def evaluate(
    comparison: Comparison,
    settings: EvaluationSettings | None = None,
    progress: ViewProgress | None = None,
) -> Evaluation:
    """Measure a restored scan.

    Args:
        comparison: the scans, opened; what is not given is not measured, and a note says so.
        settings: how to.
        progress: called with the number of views done and of all views.

    Raises:
        UnsuitableInputError: the scans do not belong together, or their unit has no window.
        UsageError: the protocol needs one window.
        MeasurementError: no view has a measured pixel.
    """
    comparison.check()
    settings = settings or EvaluationSettings()
    run = _Run(comparison, settings)
    views = views_of(comparison.restored.info)
    shown = set(np.linspace(0, len(views) - 1, min(settings.shown, len(views))).round().astype(int))
    for index, view in enumerate(views):
        compared = read_view(comparison, view, settings.baselines, run.measured)
        run.add(compared, index in shown)
        if progress is not None:
            progress(index + 1, len(views))
    return run.result()


class _Run:
    """One evaluation, while views are added to it."""

    def __init__(self, comparison: Comparison, settings: EvaluationSettings) -> None:
        info = comparison.restored.info
        self._comparison, self._settings = comparison, settings
        self.measured = measured_unit(comparison.tells_unit)
        self._unit = self.measured.unit
        self._gray = info.channels == 1
        self._pitch_mm = _pitch(info.spacing_mm)
        self._scores = FidelityRows(_windows(comparison, settings, self._unit), settings.protocol)
        self._regions = RegionRows(comparison)
        self._noise = NoiseRows(self._unit, self._pitch_mm)
        self._notes: dict[str, None] = {}
        self._measured = False
        self._uptake = self._uptake_rows()
        self._contrast = ContrastRows(comparison.regions)
        self._calibration = CalibrationRows()
        self._transfers: TransferRows | None = None
        self._phantoms: tuple[PhantomRow, ...] = ()
        self._residual: list[ResidualRow] = []
        self._stain: list[StainRow] = []
        self._samples: list[Sample] = []
        self._projections = Projections(is_pet=self._unit in ("SUV", "Bq/ml"))

    def add(self, compared: ComparedView, shown: bool) -> None:
        """Measure a view, and keep it for the report if it is to be shown."""
        if not compared.mask.any():
            self._note("Planes without a measured pixel are left out.")
            return
        self._measured = True
        maps = self._scores.add(compared)
        self._regions.add(compared, maps)
        self._calibration.add(compared)
        check: ResidualCheck | None = None
        if self._gray:
            self._noise.add(compared)
            self._add_edges(compared)
            self._contrast.add(compared)
            check = self._check(compared)
            if self._uptake is not None:
                self._uptake.add(compared)
            if self._settings.shown:
                self._projections.add(compared)
        else:
            self._stain += stain_rows(compared)
        if shown:
            self._samples.append(self._sample(compared, check))

    def result(self) -> Evaluation:
        """Return all figures.

        Raises:
            MeasurementError: no view had a measured pixel.
        """
        if not self._measured:
            raise MeasurementError("no pixel is measured in all scans, so that nothing is scored")
        info = self._comparison.restored.info
        transfers, notes = self._transfers.rows() if self._transfers else ((), ())
        regions, noise = self._regions.rows(), self._noise.rows()
        self._note(*notes, *(self._noise.notes() if self._gray else ()), *self._absences())
        return Evaluation(
            planes=info.planes,
            height=info.height,
            width=info.width,
            spacing_mm=info.spacing_mm,
            unit=self._unit,
            protocol=self._settings.protocol,
            fidelity=self._scores.rows(),
            regions=regions,
            noise=noise,
            transfers=transfers,
            contrasts=self._contrast.rows(),
            detectability=eye_rows(noise, transfers) if self._unit == "HU" else (),
            residual=tuple(self._residual),
            uptake=self._uptake.rows() if self._uptake else (),
            stain=tuple(self._stain),
            phantoms=self._phantoms + linear_rows(regions),
            agreement=agreement_of(regions),
            calibration=self._calibration.rows(),
            notes=tuple(self._notes),
            samples=(
                *(replace(each, patches=self._noise.patches(each.plane)) for each in self._samples),
                *self._projections.samples(),
            ),
        )

    def _note(self, *sentences: str) -> None:
        self._notes |= dict.fromkeys(sentences)

    def _absences(self) -> list[str]:
        """Return sentences on what was not measured because a scan is missing."""
        notes = []
        if self._comparison.tells_unit is not self._comparison.restored:
            notes.append("The restored scan has no unit, so that of the other scan is used.")
        if self._unit != "SUV" and (problem := self._comparison.tells_unit.info.suv_problem):
            notes.append(f"Measured in {self._unit}: {problem}. For SUV, give --suv-factor.")
        if self._comparison.reference is None:
            notes.append("No fidelity: no reference was given.")
        if self._gray and not self._residual:
            notes.append("No residual check: it needs the input on the same grid, in a known unit.")
        if self._comparison.regions is None:
            notes.append(
                "Regions were found automatically in each restored plane, without their borders."
            )
        return notes

    def _uptake_rows(self) -> UptakeRows | None:
        """Return what measures uptake, if regions of a PET volume with known spacing were given."""
        regions, info = self._comparison.regions, self._comparison.restored.info
        planes, rows, columns = info.spacing_mm
        if regions is None or not regions.spans_planes or self._unit not in ("SUV", "Bq/ml"):
            return None
        if planes is None or rows is None or columns is None:
            self._note("No uptake: the voxel spacing is not known.")
            return None
        return UptakeRows(regions, (planes, rows, columns))

    def _add_edges(self, compared: ComparedView) -> None:
        """Find edges in the first view, and keep their surroundings in every one."""
        if self._pitch_mm is None:
            return
        if self._transfers is None:
            regions = self._comparison.regions
            edges: dict[str, Disc | Box] = {}
            if isinstance(regions, DrawnRegions):
                edges |= regions.edges
            if self._settings.phantom:
                try:
                    found = phantom_edges(compared)
                    body = found[BODY]
                    assert isinstance(body, Disc)
                    self._phantoms = phantom_rows(compared, body, self._pitch_mm)
                    edges |= found
                    self._contrast.inserts = inserts_of(found)
                except MeasurementError as error:
                    self._note(f"No phantom: {error}.")
            self._transfers = TransferRows(edges, self._pitch_mm)
        self._transfers.add(compared)

    def _check(self, compared: ComparedView) -> ResidualCheck | None:
        """Check the residual where the input is known on the same grid."""
        limits = LIMITS.get(self._unit or "")
        if INPUT not in compared.images or limits is None:
            return None
        check = check_residual(
            compared.images[INPUT][0],
            compared.images[RESTORED][0],
            compared.labels,
            self._pitch_mm or 1.0,
            limits,
            ~compared.trusted,
        )
        if self._pitch_mm is None:
            self._note("The residual check took pixels as 1 mm: their spacing is not known.")
        bare = replace(check, z_map=np.zeros((0, 0), np.float32))
        self._residual.append(ResidualRow(compared.view.plane, bare))
        return check

    def _sample(self, compared: ComparedView, check: ResidualCheck | None) -> Sample:
        return Sample(
            plane=compared.view.plane,
            images=named_images(compared),
            mask=compared.mask,
            labels=compared.labels,
            z_map=None if check is None else check.z_map,
            noise_map=noise_map(compared.images[RESTORED][0]) if self._gray else None,
            uncertainty=compared.uncertainty,
            places=() if check is None else check.places,
        )


def _pitch(spacing_mm: tuple[float | None, float | None, float | None]) -> float | None:
    """Return the pixel pitch, None where it is unknown or rows and columns differ by 1 %."""
    _, rows, columns = spacing_mm
    if rows is None or columns is None or abs(rows - columns) > 0.01 * rows:
        return None
    return rows


def _windows(
    comparison: Comparison, settings: EvaluationSettings, unit: str | None
) -> tuple[Window, ...]:
    """Return the windows to score in.

    Raises:
        UsageError: the protocol needs exactly one.
        UnsuitableInputError: none is known for the unit.
    """
    windows = settings.windows or windows_of(unit)
    if comparison.reference is None:
        return windows
    if settings.protocol == RAT_PAPER:
        windows = settings.windows or windows_of(unit)[:1] if unit == "RGB" else settings.windows
        if len(windows) != 1:
            raise UsageError(
                f"the protocol rat-paper maps one window to 8 bits, {len(windows)} are given",
                hint="Name one: --window=-160,240.",
            )
    if not windows:
        refuse_unknown_unit(comparison.tells_unit.info)
    return windows
