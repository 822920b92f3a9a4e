"""The work of `rat evaluate`: which scans belong together, and what is written of them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ratcli import __version__
from ratcli.batch.digest import files_digest
from ratcli.cli.comparing import (
    Asked,
    Others,
    Together,
    find_sets,
    open_region_source,
    settings_for,
)
from ratcli.cli.console import LOG, Progress, Talk, say, sentence
from ratcli.cli.figures import print_scan, print_summary
from ratcli.errors import PartialFailureError, RatError, UsageError
from ratcli.evaluation.evaluate import evaluate
from ratcli.evaluation.fidelity import Summary, summarise
from ratcli.evaluation.report import IndexEntry, Provenance, render, render_index
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.scene import Comparison
from ratcli.evaluation.window import Window
from ratcli.formats import open_scan
from ratcli.formats.atomic import PartialFile, check_free, output_errors


@dataclass(frozen=True)
class Outputs:
    """Where figures go."""

    as_json: bool = False
    csv: Path | None = None
    report: Path | None = None
    if_exists: str = "error"
    patient: str = "scan"


def evaluate_scans(
    restored: Sequence[Path], others: Others, asked: Asked, outputs: Outputs, talk: Talk
) -> None:
    """Evaluate scans and tell of them.

    Raises:
        RatError: a scan alone failed, or some of several did.
    """
    sets = find_sets(restored, others, asked.recursive)
    _check_outputs(sets, outputs)
    found: list[tuple[Together, Evaluation]] = []
    failures: list[tuple[Together, RatError]] = []
    pages: list[IndexEntry] = []
    with Progress(talk, len(sets)) as progress:
        for each in sets:
            try:
                result = _evaluate_one(each, others.regions, asked, progress)
            except RatError as error:
                if len(sets) == 1:
                    raise
                failures.append((each, error))
                LOG.error("%s", sentence(f"{each.name}: {error}", error.hint))
                continue
            finally:
                progress.finished(each.name)
            _tell(each, result, outputs, talk)
            if outputs.report is not None:
                pages.append(_write_page(each, result, asked, outputs, len(sets) > 1))
            # The pictures are on disk now; hundreds of scans' need not stay in memory.
            found.append((each, _without_pictures(result)))
    _finish(found, pages, outputs, talk)
    if failures:
        raise PartialFailureError(f"{len(failures)} of {len(sets)} scans could not be evaluated")


def summaries(
    found: Sequence[tuple[Together, Evaluation]], patient: str
) -> dict[tuple[str, Window, str], Summary]:
    """Return each figure over patients, by image, window and name of the figure.

    A patient with several scans counts once, with the mean of them.
    """
    values: dict[tuple[str, Window, str], dict[str, list[float]]] = {}
    for each, result in found:
        who = each.name if patient == "scan" else str(each.restored.folder)
        for row in result.pooled:
            for figure in ("psnr_db", "ssim", "rmse"):
                key = (row.image, row.fidelity.window, figure)
                value = getattr(row.fidelity, figure)
                if math.isfinite(value):
                    values.setdefault(key, {}).setdefault(who, []).append(value)
    return {
        key: summarise([float(np.mean(scans)) for scans in patients.values()])
        for key, patients in values.items()
    }


def _evaluate_one(
    each: Together, regions: Path | None, asked: Asked, progress: Progress
) -> Evaluation:
    with contextlib.ExitStack() as stack:
        readers = {
            name: stack.enter_context(open_scan(source, assume_unit=asked.unit))
            for name, source in each.others.items()
        }
        restored = stack.enter_context(open_scan(each.restored, assume_unit=asked.unit))
        source = None if regions is None else open_region_source(regions, restored, stack)
        comparison = Comparison(
            restored,
            readers.get("reference"),
            readers.get("input"),
            source,
            readers.get("uncertainty"),
        )
        settings = settings_for(restored, asked)
        return evaluate(
            comparison, settings, lambda done, total: progress.planes(each.name, done, total)
        )


def _check_outputs(sets: Sequence[Together], outputs: Outputs) -> None:
    """Refuse outputs that are there, before anything is computed.

    Raises:
        UsageError: one file for several reports.
        OutputError: a name is taken.
    """
    overwrite = outputs.if_exists != "error"
    if outputs.csv is not None:
        check_free(outputs.csv, overwrite=overwrite)
    if outputs.report is None:
        return
    if len(sets) > 1 and outputs.report.suffix.lower() in (".html", ".htm"):
        raise UsageError(
            f"{len(sets)} scans make {len(sets)} reports, but --report names one file",
            hint="Name a folder; it gets an index.",
        )
    if len(sets) == 1 or outputs.report.exists():
        check_free(outputs.report, overwrite=overwrite or len(sets) > 1)


def _tell(each: Together, result: Evaluation, outputs: Outputs, talk: Talk) -> None:
    if outputs.as_json:
        say(json.dumps({"scan": each.name, **result.to_dict()}, allow_nan=False))
    if not talk.quiet:
        print_scan(each.name, result)


def _write_page(
    each: Together, result: Evaluation, asked: Asked, outputs: Outputs, several: bool
) -> IndexEntry:
    """Write the report of a scan and return its line of the index."""
    assert outputs.report is not None
    path = outputs.report / f"{each.name}.html" if several else outputs.report
    text = render(result, Provenance(each.name, __version__, _facts(each, asked)))
    _write(path, text, outputs)
    LOG.info("%s -> %s (%.1f MB)", each.name, path.name, len(text) / 1e6)
    return IndexEntry(each.name, path.name, _without_pictures(result))


def _finish(
    found: Sequence[tuple[Together, Evaluation]],
    pages: Sequence[IndexEntry],
    outputs: Outputs,
    talk: Talk,
) -> None:
    """Write the CSV and the index, and tell of all scans together."""
    if outputs.csv is not None and found:
        _write(outputs.csv, _csv_text(found), outputs)
    if outputs.report is not None and len(pages) > 1:
        text = render_index(pages, Provenance("Reports", __version__))
        _write(outputs.report / "index.html", text, outputs)
    if len(found) < 2:
        return
    over = summaries(found, outputs.patient)
    if outputs.as_json:
        say(json.dumps({"summary": [_summary_cells(*item) for item in over.items()]}))
    if over and not talk.quiet:
        print_summary(over, outputs.patient)


def _summary_cells(key: tuple[str, Window, str], summary: Summary) -> dict[str, Any]:
    image, window, figure = key
    figures = {
        "mean": summary.mean, "sd": summary.sd, "low": summary.low, "high": summary.high,
    }  # fmt: skip
    known = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    return {
        "image": image, "window": str(window), "figure": figure, **known,
        "patients": summary.count,
    }  # fmt: skip


def _csv_text(found: Sequence[tuple[Together, Evaluation]]) -> str:
    """Return all rows; scans with other windows have other columns, left empty elsewhere."""
    rows = [{"scan": each.name, **row} for each, result in found for row in result.table()]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str, outputs: Outputs) -> None:
    """Write a text under its final name in one step, unless what is there is to stay."""
    if outputs.if_exists == "skip" and path.exists():
        LOG.info("%s is there and stays", path.name)
        return
    partial = PartialFile(path, overwrite=outputs.if_exists == "overwrite")
    try:
        with output_errors(path):
            partial.path.write_text(text, encoding="utf-8")
        partial.commit()
    except BaseException:
        partial.discard()
        raise


def _facts(each: Together, asked: Asked) -> dict[str, str]:
    """Return the provenance of a report: files by their hash, versions, settings."""
    facts = {"restored, SHA-256": files_digest(each.restored.files)}
    for name, source in each.others.items():
        facts[f"{name}, SHA-256"] = files_digest(source.files)
    facts["settings"] = ", ".join(
        part
        for part in (
            f"protocol {asked.protocol}",
            *(f"window {text}" for text in asked.windows),
            *(f"baseline {Path(text).name}" for text in asked.baselines),
            "phantom" if asked.phantom else "",
            f"unit {asked.unit}" if asked.unit else "",
        )
        if part
    )
    facts["versions"] = ", ".join(
        [f"Python {platform.python_version()}"]
        + [f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-image")]
    )
    return facts


def _without_pictures(result: Evaluation) -> Evaluation:
    return replace(result, samples=())
