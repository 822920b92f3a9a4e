"""`rat info`: what the tool sees in a file."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ratcli.cli import options
from ratcli.cli.console import Talk, say, talking
from ratcli.errors import RatError
from ratcli.scan import ScanInfo
from ratcli.task import Task
from ratcli.tasks import TASKS

if TYPE_CHECKING:
    from ratcli.batch.outcome import Outcome
    from ratcli.batch.plan import Found

app = typer.Typer(add_completion=False)


@app.command(
    epilog=options.examples(
        ("rat info scan.dcm", "one file"),
        ("rat info study/ --recursive", "every series below a folder"),
        ("rat info scan.nii.gz --json", "for a script"),
    )
)
def info(
    inputs: options.Inputs,
    recursive: options.Recursive = False,
    series_uid: options.SeriesUid = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show what rat sees in a scan: size, spacing, unit, and the tasks that fit it."""
    with talking(Talk(debug=debug)):
        from ratcli.batch.plan import find_inputs
        from ratcli.cli.batching import raise_failures

        found, outcomes = find_inputs(inputs, recursive=recursive, series_uid=series_uid)
        outcomes += [_tell(scan, as_json=as_json) for scan in found]
        raise_failures(outcomes)


def _tell(found: Found, *, as_json: bool) -> Outcome:
    """Tell of one scan; one that cannot be read does not keep the others from being told."""
    from ratcli.batch.outcome import Outcome
    from ratcli.formats import open_scan

    try:
        with open_scan(found.source) as reader:
            name, facts = found.name, reader.info
    except RatError as error:
        return Outcome.failure(found.name, error)
    say(_as_json(name, facts) if as_json else _as_text(name, facts))
    return Outcome(name, "done")


def fitting_tasks(info: ScanInfo) -> list[str]:
    """Return the names of the tasks whose check the header passes."""
    return [name for name, task in TASKS.items() if _fits(task, info)]


def _fits(task: Task, info: ScanInfo) -> bool:
    try:
        task.check(info)
    except RatError:
        return False
    return True


def _as_json(name: str, info: ScanInfo) -> str:
    facts = {"name": name, **asdict(info), "tasks": fitting_tasks(info)}
    return json.dumps({**facts, "details": dict(info.details)}, ensure_ascii=False)


def _as_text(name: str, info: ScanInfo) -> str:
    rows = {
        "format": info.format,
        "modality": info.modality or "not told",
        "planes": str(info.planes),
        "size": f"{info.height} x {info.width} pixels, {_channels(info.channels)}",
        "spacing": _spacing(info),
        "unit": info.unit or "not told",
        "bits": str(info.bits),
        **info.details,
        "tasks": ", ".join(fitting_tasks(info)) or "none fits",
    }
    width = max(map(len, rows))
    lines = [name, *(f"  {key.ljust(width)}  {value}" for key, value in rows.items())]
    return "\n".join([*lines, *(f"  note: {notice}" for notice in info.notices)])


def _channels(count: int) -> str:
    return {1: "gray", 3: "RGB"}.get(count, f"{count} channels")


def _spacing(info: ScanInfo) -> str:
    if all(value is None for value in info.spacing_mm):
        return "not told"
    axes = ("?" if value is None else f"{value:.4g}" for value in info.spacing_mm)
    return " x ".join(axes) + " mm (plane, row, column)"
