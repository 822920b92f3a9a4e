"""Write docs/options.md: the options of every command, from their dataclasses.

python scripts/make_options_page.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ratcli.cli.console import ConsoleOptions
from ratcli.commands.evaluate import EvaluateOptions
from ratcli.commands.info import InfoOptions
from ratcli.commands.options import Described, described
from ratcli.commands.restore import RestoreOptions
from ratcli.commands.segment import SegmentOptions
from ratcli.commands.simulate import SimulateOptions
from ratcli.commands.weights import ImportOptions

PAGE = Path(__file__).resolve().parents[1] / "docs" / "options.md"
COMMANDS: dict[str, type] = {
    "rat restore": RestoreOptions,
    "rat segment": SegmentOptions,
    "rat evaluate": EvaluateOptions,
    "rat simulate": SimulateOptions,
    "rat info": InfoOptions,
    "rat weights import": ImportOptions,
    "All commands": ConsoleOptions,
}
HEAD = """# Options

The options of each command, on the command line and as keyword arguments in Python. In Python an
option has underscores in place of dashes.

This page is made by `python scripts/make_options_page.py`.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(section(name, options) for name, options in COMMANDS.items())])


def section(name: str, options: type) -> str:
    """Return the table of one command."""
    return "\n".join([f"## {name}", "", *_rows(options), ""])


def _rows(options: type) -> Iterator[str]:
    yield "| option | value | default | what it does |"
    yield "| --- | --- | --- | --- |"
    for each in described(options):
        short = f", `-{each.option.short}`" if each.option.short else ""
        yield f"| `--{each.word}`{short} | {_value(each)} | {_default(each)} | {each.option.help} |"


def _value(each: Described) -> str:
    if each.choices:
        return ", ".join(f"`{choice}`" for choice in each.choices)
    if each.kind is bool:
        return "flag"
    low, high = each.option.least, each.option.most
    bounds = ""
    if low is not None and high is not None:
        bounds = f", {low:g} to {high:g}"
    elif low is not None:
        bounds = f", at least {low:g}"
    kind = {int: "whole number", float: "number", str: "text", Path: "path"}[each.kind]
    return f"{kind}{bounds}{', several' if each.is_several else ''}"


def _default(each: Described) -> str:
    if each.default in (None, "", (), False):
        return ""
    shown = f"{each.default:g}" if isinstance(each.default, float) else str(each.default)
    return f"`{shown}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: {len(COMMANDS)} commands", file=sys.stderr)
