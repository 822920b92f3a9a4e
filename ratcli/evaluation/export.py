"""An evaluation as JSON and as rows of a CSV; and as a text from which it can be read again.

A batch keeps such texts, which take little memory. Nothing is lost but the sample planes; infinity
and nan are kept as Python's JSON writes them. No torch here.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ratcli.evaluation.contrast import Contrast
from ratcli.evaluation.detectability import DetectabilityRow
from ratcli.evaluation.fidelity import Fidelity
from ratcli.evaluation.observers import Detectability
from ratcli.evaluation.patients import Figure, Summary
from ratcli.evaluation.planted import DoseEquivalence
from ratcli.evaluation.regions import RegionRow
from ratcli.evaluation.resolution import Transfer
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.spectrum import Spectrum

_BASE_COLUMNS = (
    "image", "plane", "region", "pixels", "mean", "sd", "against", "other_mean",
    "bias", "bias_low", "bias_high",
)  # fmt: skip

# A spreadsheet computes a text that begins with one of these.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")

# What JSON has of curves, in place of their fields; and figures that follow from the fields.
_FIGURES: dict[type, tuple[str, ...]] = {
    Spectrum: (
        "variance", "raw_variance", "integral", "peak_per_mm", "mean_per_mm", "mean_2d_per_mm",
        "anisotropy", "patches", "patch_side_px", "radial_per_mm", "radial_power",
    ),
    Transfer: (
        "f50_per_mm", "f10_per_mm", "contrast", "noise", "frequency_per_mm", "transfer",
    ),
}  # fmt: skip
_MORE: dict[type, tuple[str, ...]] = {
    Contrast: ("cnr",),
    Detectability: ("auc", "auc_low", "auc_high", "repeats_needed"),
}


def as_dict(found: Evaluation) -> dict[str, object]:
    """Return all figures as JSON knows them: no arrays of pixels, null for nan and infinity."""
    return {
        part.name: _plain(getattr(found, part.name))
        for part in fields(found)
        if part.name != "samples"
    } | {"verdict": found.verdict}


def as_rows(found: Evaluation) -> Iterator[dict[str, object]]:
    """Yield one row for each plane, region and detected disc, for CSV.

    The whole plane is the region `all`. The name of a column includes the window.
    """
    cells = [
        *_plane_rows(found),
        *map(_region_cells, found.regions),
        *map(_detectability_cells, found.detectability),
        *map(_equivalence_cells, found.equivalences),
    ]
    names = dict.fromkeys([*_BASE_COLUMNS, *(name for row in cells for name in row)])
    for row in cells:
        plane = row.get("plane")
        place = plane + 1 if isinstance(plane, int) else "all"
        yield {name: row.get(name, "") for name in names} | {"plane": place}


def csv_text(scans: Sequence[tuple[str, Evaluation]]) -> str:
    """Return the rows of all scans; those with other windows have other columns, empty elsewhere.

    A name that a spreadsheet would take for a formula begins with an apostrophe.

    Args:
        scans: name and figures of each.
    """
    rows = [{"scan": name, **row} for name, found in scans for row in as_rows(found)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def summary_rows(over: Mapping[Figure, Summary]) -> list[dict[str, object]]:
    """Return figures over patients as JSON knows them."""
    return [
        {
            "image": figure.image,
            "region": figure.region,
            "window": figure.scale,
            "figure": figure.name,
            "mean": _plain(summary.mean),
            "sd": _plain(summary.sd),
            "low": _plain(summary.low),
            "high": _plain(summary.high),
            "patients": summary.count,
        }
        for figure, summary in over.items()
    ]


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value


def _plane_rows(found: Evaluation) -> Iterator[dict[str, object]]:
    """Yield cells of whole planes, one for each image and plane."""
    cells: dict[tuple[str, int | None], dict[str, object]] = {}
    for row in found.fidelity:
        key = (row.image, row.plane)
        start = {"image": row.image, "plane": row.plane, "region": "all"}
        cells.setdefault(key, {**start, "pixels": row.fidelity.pixels})
        cells[key] |= _fidelity_cells(row.fidelity)
    yield from cells.values()


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


def _detectability_cells(row: DetectabilityRow) -> dict[str, object]:
    found = row.found
    return {
        "image": row.image, "region": row.signal, "observer": row.observer, "dose": row.dose,
        "diameter_mm": row.diameter_mm, "contrast": row.contrast,
        "d_prime": found.d_prime, "d_prime_low": found.low, "d_prime_high": found.high,
        "auc": found.auc, "auc_low": found.auc_low, "auc_high": found.auc_high,
        "repeats": found.repeats, "repeats_needed": found.repeats_needed,
    }  # fmt: skip


def _equivalence_cells(row: DoseEquivalence) -> dict[str, object]:
    figures = ("dose", "detects_as", "low", "high", "noise_as")
    named = {name: getattr(row, name) for name in figures}
    return {"image": row.image, "region": row.signal, **named}


def _fidelity_cells(fidelity: Fidelity) -> dict[str, object]:
    window = str(fidelity.window)
    return {
        f"psnr_db {window}": fidelity.psnr_db,
        f"ssim {window}": fidelity.ssim,
        f"rmse {window}": fidelity.rmse,
    }


def _plain(value: object) -> object:
    """Return a value as JSON knows it; arrays of two axes (maps) are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        names = _FIGURES.get(type(value)) or tuple(part.name for part in fields(value))
        parts = {name: getattr(value, name) for name in (*names, *_MORE.get(type(value), ()))}
        return {name: _plain(part) for name, part in parts.items() if not _is_map(part)}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _is_map(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim >= 2


def to_text(found: Evaluation) -> str:
    """Return an evaluation without its samples as JSON."""
    plain = msgspec.to_builtins(replace(found, samples=()), str_keys=True, enc_hook=_as_table)
    return json.dumps(plain)


def from_text(text: str) -> Evaluation:
    """Return the evaluation of which `to_text` made this.

    Raises:
        ValueError, KeyError: it is not an evaluation, or of another version of rat.
    """
    table = json.loads(text)
    try:
        found = msgspec.convert(table, Evaluation, str_keys=True, dec_hook=_array_of)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    if unknown := table.keys() - {part.name for part in fields(Evaluation)}:
        raise ValueError(f"there are no figures named {', '.join(sorted(unknown))}")
    return found


def _as_table(array: Any) -> dict[str, Any]:
    assert isinstance(array, np.ndarray)
    return {"shape": array.shape, "values": array.ravel().tolist()}


def _array_of(_: type, table: Any) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = np.array(table["values"], np.float64)
    array: npt.NDArray[np.float64] = values.reshape(table["shape"])
    return array
