"""The work of `rat evaluate`: which scans belong together, and what is written of them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ratcli.cli.console import LOG, ConsoleOptions, Progress, say
from ratcli.cli.figures import print_scan, print_summary
from ratcli.commands.comparing import (
    Asked,
    Others,
    Together,
    find_sets,
)
from ratcli.commands.measuring import Measured, measure
from ratcli.commands.reporting import Reports, hashes, versions, write_text
from ratcli.errors import PartialFailureError, RatError, sentence
from ratcli.evaluation.export import as_dict, as_rows
from ratcli.evaluation.fidelity import Summary
from ratcli.evaluation.patients import Figure, over_patients
from ratcli.formats.atomic import check_free

PlaneProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outputs:
    """Where figures go."""

    as_json: bool = False
    csv: Path | None = None
    report: Path | None = None
    if_exists: str = "error"
    patient: str = "scan"


def evaluate_scans(
    restored: Sequence[Path], others: Others, asked: Asked, outputs: Outputs, talk: ConsoleOptions
) -> None:
    """Evaluate scans and tell of them.

    Raises:
        RatError: a scan alone failed, or some of several did.
    """
    sets = find_sets(restored, others, asked.recursive)
    reports = _check_outputs(sets, outputs)
    done: list[Measured] = []
    with Progress(talk, len(sets)) as progress:
        for number, each in enumerate(sets):
            try:
                one = measure(each, others.regions, asked, partial(progress.planes, each.name))
            except RatError as error:
                if len(sets) == 1:
                    raise
                LOG.error("%s", sentence(f"{each.name}: {error}", error.hint))
                continue
            finally:
                progress.finished(each.name)
            _tell(one, outputs, talk)
            if reports is not None:
                reports.add(number, each.name, one.found, _facts(one, asked))
            done.append(replace(one, found=replace(one.found, samples=())))
    _finish(done, reports, outputs, talk)
    if len(done) < len(sets):
        failed = len(sets) - len(done)
        raise PartialFailureError(f"{failed} of {len(sets)} scans could not be evaluated")


def _check_outputs(sets: Sequence[Together], outputs: Outputs) -> Reports | None:
    """Refuse outputs that are there, before anything is computed.

    Raises:
        UsageError: one file for several reports.
        OutputError: a name is taken.
    """
    if outputs.csv is not None:
        check_free(outputs.csv, overwrite=outputs.if_exists != "error")
    if outputs.report is None:
        return None
    return Reports(outputs.report, [each.name for each in sets], outputs.if_exists)


def _tell(one: Measured, outputs: Outputs, talk: ConsoleOptions) -> None:
    if outputs.as_json:
        content = {"scan": one.each.name, "made_by": one.made or None, **as_dict(one.found)}
        say(json.dumps(content, allow_nan=False))
    if not talk.quiet:
        print_scan(one.each.name, one.found)


def _finish(
    done: Sequence[Measured], reports: Reports | None, outputs: Outputs, talk: ConsoleOptions
) -> None:
    """Write the CSV and the index, and tell of all scans together."""
    if outputs.csv is not None and done:
        write_text(outputs.csv, _csv_text(done), outputs.if_exists)
    over = _over_patients(done, outputs.patient) if len(done) > 1 else {}
    if reports is not None:
        reports.finish(over)
    if len(done) < 2:
        return
    if outputs.as_json:
        say(json.dumps({"summary": [_summary_cells(*item) for item in over.items()]}))
    if over and not talk.quiet:
        print_summary(over, outputs.patient)


def _over_patients(done: Sequence[Measured], patient: str) -> Mapping[Figure, Summary]:
    """Summarise over scans, or over the folders that hold them."""
    return over_patients(
        [
            (one.each.name if patient == "scan" else str(one.each.restored.folder), one.found)
            for one in done
        ]
    )


def _summary_cells(figure: Figure, summary: Summary) -> dict[str, Any]:
    figures = {
        "mean": summary.mean, "sd": summary.sd, "low": summary.low, "high": summary.high,
    }  # fmt: skip
    known = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    return {
        "image": figure.image, "region": figure.region, "window": figure.scale,
        "figure": figure.name, **known, "patients": summary.count,
    }  # fmt: skip


def _csv_text(done: Sequence[Measured]) -> str:
    """Return all rows; scans with other windows have other columns, left empty elsewhere."""
    rows = [{"scan": one.each.name, **row} for one in done for row in as_rows(one.found)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _facts(one: Measured, asked: Asked) -> dict[str, str]:
    """Return the provenance of a report: how it was made, files by their hash, settings."""
    settings = (
        f"protocol {asked.protocol}",
        *(f"window {text}" for text in asked.windows),
        *(f"baseline {Path(text).name}" for text in asked.baselines),
        "phantom" if asked.phantom else "",
        f"unit {asked.unit}" if asked.unit else "",
    )
    return {
        "restored by": one.made or "not told by the restored scan's header",
        **hashes({"restored": one.each.restored, **one.each.others}),
        "settings": ", ".join(part for part in settings if part),
        **versions(),
    }
