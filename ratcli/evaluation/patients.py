"""Figures over patients: mean, spread and interval, each patient counted once. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ratcli.errors import MeasurementError
from ratcli.evaluation.comparison import RESTORED
from ratcli.evaluation.fidelity import Fidelity
from ratcli.evaluation.results import Evaluation

PatientRule = Literal["scan", "folder", "header"]
"""What counts as one patient: a scan, a folder of scans, or what the header or the name says."""

WHOLE = "all"
_DRAWS = 10_000  # bootstrap samples
FIDELITY_FIGURES = ("psnr_db", "ssim", "rmse")


@dataclass(frozen=True)
class Figure:
    """What a number is of.

    Attributes:
        image: `restored`, `input`, or a baseline's name.
        region: a given region, `all` for the whole scan.
        scale: window with its data range, or the unit of a bias.
        name: `psnr_db`, `ssim`, `rmse` or `bias`.
    """

    image: str
    region: str
    scale: str
    name: str


@dataclass(frozen=True)
class PatientFigures:
    """Figures over patients.

    Attributes:
        figures: a summary of each.
        patient: what counts as one patient.
    """

    figures: Mapping[Figure, Summary]
    patient: PatientRule


def over_patients(found: Sequence[tuple[str, Evaluation]]) -> dict[Figure, Summary]:
    """Summarise the figures of whole scans, and of given regions, over patients.

    Args:
        found: the patient and the figures of each scan; a patient with several scans counts once,
            with the mean of them.

    Returns:
        For each figure its mean, standard deviation and 95 % bootstrap interval over the patients
        that have it; infinite values are left out.
    """
    values: dict[Figure, dict[str, list[float]]] = {}
    for patient, result in found:
        for figure, value in _figures(result):
            if math.isfinite(value):
                values.setdefault(figure, {}).setdefault(patient, []).append(value)
    return {
        figure: summarise([float(np.mean(scans)) for scans in patients.values()])
        for figure, patients in values.items()
    }


def _figures(found: Evaluation) -> Iterator[tuple[Figure, float]]:
    for row in found.pooled:
        yield from _of_fidelity(row.image, WHOLE, row.fidelity)
    for region in found.regions:
        if region.plane is not None or region.against == "nominal":
            continue
        unit = found.unit or "unknown unit"
        yield Figure(RESTORED, region.name, unit, "bias"), region.bias.bias
        for fidelity in region.fidelity:
            yield from _of_fidelity(RESTORED, region.name, fidelity)


def _of_fidelity(image: str, region: str, fidelity: Fidelity) -> Iterator[tuple[Figure, float]]:
    for name in FIDELITY_FIGURES:
        yield Figure(image, region, str(fidelity.window), name), getattr(fidelity, name)


@dataclass(frozen=True)
class Summary:
    """A figure over patients.

    Attributes:
        mean: over patients, each counted once.
        sd: sample standard deviation; nan for fewer than two.
        low: lower end of the bootstrap interval; nan for fewer than two.
        high: its upper end.
        count: number of patients.
    """

    mean: float
    sd: float
    low: float
    high: float
    count: int


def summarise(values: Sequence[float]) -> Summary:
    """Summarise one figure a patient, with a 95 % percentile bootstrap interval of the mean.

    Args:
        values: one figure for each patient, not for each slice: slices are not independent.

    Raises:
        MeasurementError: no values.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    """
    sample = np.asarray(values, np.float64)
    if sample.size == 0:
        raise MeasurementError("no figures were given to summarise")
    if sample.size < 2:
        return Summary(float(sample[0]), math.nan, math.nan, math.nan, 1)
    picks = np.random.default_rng(0).integers(0, sample.size, (_DRAWS, sample.size))
    low, high = np.quantile(sample[picks].mean(axis=1), (0.025, 0.975))
    return Summary(
        float(sample.mean()), float(sample.std(ddof=1)), float(low), float(high), int(sample.size)
    )
