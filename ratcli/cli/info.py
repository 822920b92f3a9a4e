"""`rat info` on the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ratcli.cli.console import ConsoleOptions, say
from ratcli.cli.listener import ConsoleListener
from ratcli.cli.parameters import Verb, app_of
from ratcli.commands.info import InfoOptions, ScanFacts, info
from ratcli.scan import ScanInfo


def _run(inputs: list[Path], options: InfoOptions, console: ConsoleOptions) -> None:
    info(inputs, options, listener=_Listener(console))


class _Listener(ConsoleListener):
    """Prints the facts of each scan."""

    def result(self, result: object) -> None:
        """Print the facts of one scan, as text or as JSON."""
        assert isinstance(result, ScanFacts)
        say(*([_as_json(result)] if self.options.json else _as_text(result)))


app = app_of(
    Verb(
        InfoOptions,
        _run,
        "Show what rat reads in a scan, and for each task what it would do or why it does not fit.",
        (
            ("rat info scan.dcm", "one file"),
            ("rat info study/ --recursive", "every series in a folder and its subfolders"),
            ("rat info scan.nii.gz --json", "for a script"),
            ("rat info archive/ -r --header-only", "quick: no pixels are read"),
        ),
    )
)


def _as_json(facts: ScanFacts) -> str:
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
        "restore": [asdict(item) for item in facts.suitability],
    }
    return json.dumps(told)


def _as_text(facts: ScanFacts) -> list[str]:
    info = facts.info
    rows = {
        "format": info.format,
        "files": str(facts.files) if facts.files > 1 else "",
        "modality": info.modality or "unknown",
        "planes": str(info.planes),
        "size": f"{info.height} x {info.width} pixels, {_channels(info.channels)}",
        "spacing": _spacing(info),
        "unit": info.unit or "unknown",
        "range": _range(facts),
        "bits": str(info.bits),
        **info.details,
        "tasks": ", ".join(facts.tasks) or "none",
    }
    rows = {label: value for label, value in rows.items() if value}
    for item in facts.suitability:
        rows[f"-t {item.task}"] = item.text if item.fits else f"no, {item.text}"
    width = max(map(len, rows))
    lines = [facts.name, *(f"  {key.ljust(width)}  {value}" for key, value in rows.items())]
    return [*lines, *(f"  note: {notice}" for notice in facts.notices)]


def _range(facts: ScanFacts) -> str:
    if not facts.suitability:
        return ""
    if facts.values is None:
        return "no measured pixels" if facts.tasks else "not readable"
    seen = f" (in {facts.values.seen:.1%} of the pixels)" if facts.values.seen < 1 else ""
    return f"{facts.values.lowest:g} to {facts.values.highest:g}{seen}"


def _channels(count: int) -> str:
    return {1: "gray", 3: "RGB"}.get(count, f"{count} channels")


def _spacing(info: ScanInfo) -> str:
    if all(value is None for value in info.spacing_mm):
        return "unknown"
    axes = ("?" if value is None else f"{value:.4g}" for value in info.spacing_mm)
    return " x ".join(axes) + " mm (plane, row, column)"
