"""`rat info`: what the tool sees in a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from ratcli.cli import options
from ratcli.cli.console import Talk, say, talking
from ratcli.errors import RatError
from ratcli.scan import ScanInfo, ScanReader
from ratcli.task import Task
from ratcli.tasks import TASKS

if TYPE_CHECKING:
    from ratcli.batch.outcome import Outcome
    from ratcli.batch.plan import Found
    from ratcli.cli.prospects import Prospect, ValueRange

HeaderOnly = Annotated[
    bool,
    typer.Option(
        "--header-only",
        help="Read no pixels: no range, and values of an unknown unit are not looked at.",
    ),
]

app = typer.Typer(add_completion=False)


@app.command(
    epilog=options.examples(
        ("rat info scan.dcm", "one file"),
        ("rat info study/ --recursive", "every series below a folder"),
        ("rat info scan.nii.gz --json", "for a script"),
        ("rat info archive/ -r --header-only", "quick: no pixels are read"),
    )
)
def info(
    inputs: options.Inputs,
    recursive: options.Recursive = False,
    series_uid: options.SeriesUid = None,
    header_only: HeaderOnly = False,
    max_pixels: options.MaxPixels = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show what rat sees in a scan, and what each task would do with it, or why not."""
    with talking(Talk(debug=debug)):
        from ratcli.batch.plan import find_inputs
        from ratcli.cli.batching import raise_failures
        from ratcli.formats.limits import DEFAULT_MAX_PIXELS

        found, outcomes = find_inputs(inputs, recursive=recursive, series_uid=series_uid)
        limit = max_pixels or DEFAULT_MAX_PIXELS
        outcomes += [_tell(scan, header_only, limit, as_json=as_json) for scan in found]
        raise_failures(outcomes)


@dataclass(frozen=True)
class _Facts:
    """All that is told of one scan."""

    name: str
    files: int
    info: ScanInfo
    notices: tuple[str, ...]
    tasks: list[str]
    values: ValueRange | None = None
    prospects: tuple[Prospect, ...] = ()


def _tell(found: Found, header_only: bool, max_pixels: int, *, as_json: bool) -> Outcome:
    """Tell of one scan; one that cannot be read does not keep the others from being told."""
    from ratcli.batch.outcome import Outcome
    from ratcli.formats import open_scan

    damage: RatError | None = None
    try:
        with open_scan(found.source, max_pixels=max_pixels) as reader:
            notices = (*found.source.notices, *reader.info.notices)
            tasks = fitting_tasks(reader.info)
            facts = _Facts(found.name, len(found.source.paths), reader.info, notices, tasks)
            if not header_only:
                facts, damage = _look_at_pixels(facts, reader)
    except RatError as error:
        return Outcome.failure(found.name, error)
    say(_as_json(facts) if as_json else _as_text(facts))
    return Outcome.failure(found.name, damage) if damage else Outcome(found.name, "done")


def _look_at_pixels(facts: _Facts, reader: ScanReader) -> tuple[_Facts, RatError | None]:
    """Measure the range and ask every task; pixels that cannot be read fit none."""
    from ratcli.cli.prospects import Prospect, measure_range, prospect

    try:
        values = measure_range(reader)
        prospects = tuple(prospect(task, reader) for task in TASKS.values())
    except RatError as error:
        prospects = tuple(Prospect(name, False, str(error)) for name in TASKS)
        return replace(facts, prospects=prospects, tasks=[]), error
    tasks = [item.task for item in prospects if item.fits]
    return replace(facts, values=values, prospects=prospects, tasks=tasks), None


def fitting_tasks(info: ScanInfo) -> list[str]:
    """Return the names of the tasks whose check the header passes."""
    return [name for name, task in TASKS.items() if _fits(task, info)]


def _fits(task: Task, info: ScanInfo) -> bool:
    try:
        task.check(info)
    except RatError:
        return False
    return True


def _as_json(facts: _Facts) -> str:
    details = dict(facts.info.details)
    told = {
        "name": facts.name,
        "files": facts.files,
        **asdict(facts.info),
        "kind": details.get("kind"),
        "compression": details.get("compression"),
        "series": details.get("series UID"),
        "range": None if facts.values is None else asdict(facts.values),
        "details": details,
        "notices": facts.notices,
        "tasks": facts.tasks,
        "restore": [asdict(item) for item in facts.prospects],
    }
    return json.dumps(told, ensure_ascii=False)


def _as_text(facts: _Facts) -> str:
    info = facts.info
    rows = {
        "format": info.format,
        "files": str(facts.files) if facts.files > 1 else "",
        "modality": info.modality or "not told",
        "planes": str(info.planes),
        "size": f"{info.height} x {info.width} pixels, {_channels(info.channels)}",
        "spacing": _spacing(info),
        "unit": info.unit or "not told",
        "range": _range(facts),
        "bits": str(info.bits),
        **info.details,
        "tasks": ", ".join(facts.tasks) or "none fits",
    }
    rows = {label: value for label, value in rows.items() if value}
    for item in facts.prospects:
        rows[f"-t {item.task}"] = item.text if item.fits else f"no, {item.text}"
    width = max(map(len, rows))
    lines = [facts.name, *(f"  {key.ljust(width)}  {value}" for key, value in rows.items())]
    return "\n".join([*lines, *(f"  note: {notice}" for notice in facts.notices)])


def _range(facts: _Facts) -> str:
    if not facts.prospects:
        return ""
    if facts.values is None:
        return "no pixel is measured" if facts.tasks else "not readable"
    seen = f" (in {facts.values.seen:.1%} of the pixels)" if facts.values.seen < 1 else ""
    return f"{facts.values.lowest:g} to {facts.values.highest:g}{seen}"


def _channels(count: int) -> str:
    return {1: "gray", 3: "RGB"}.get(count, f"{count} channels")


def _spacing(info: ScanInfo) -> str:
    if all(value is None for value in info.spacing_mm):
        return "not told"
    axes = ("?" if value is None else f"{value:.4g}" for value in info.spacing_mm)
    return " x ".join(axes) + " mm (plane, row, column)"
