"""What the terminal shows of an evaluation: tables on stderr, since stdout is data."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ratcli.batch.evaluating import MeasuredScan
from ratcli.batch.outcome import Outcome
from ratcli.cli.console import say
from ratcli.cli.listener import ConsoleListener
from ratcli.cli.streams import printable
from ratcli.evaluation.export import as_dict, summary_rows
from ratcli.evaluation.patients import PatientFigures
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.tables import tables
from ratcli.evaluation.tables.patients import patients_table
from ratcli.evaluation.tables.table import FigureTable


class FigureListener(ConsoleListener):
    """Shows the figures of each scan when it is measured: tables on stderr, JSON on stdout."""

    def is_json(self, outcome: Outcome) -> bool:
        """Return whether an outcome is printed as JSON; measured scans print figures instead."""
        return outcome.status == "planned"

    def result(self, result: object) -> None:
        """Show the figures of one scan, or those over patients."""
        if isinstance(result, MeasuredScan):
            self._scan(result)
        elif isinstance(result, PatientFigures):
            self._patients(result)

    def _scan(self, one: MeasuredScan) -> None:
        if self.options.json:
            content = {"scan": one.name, "made_by": one.made_by or None, **as_dict(one.found)}
            if one.notices:
                content["notices"] = list(one.notices)
            say(json.dumps(content, allow_nan=False))
        if not self.options.quiet:
            print_scan(one.name, one.found)

    def _patients(self, over: PatientFigures) -> None:
        if self.options.json:
            say(json.dumps({"summary": summary_rows(over.figures)}))
        if over.figures and not self.options.quiet:
            print_summary(over)


def print_scan(name: str, found: Evaluation) -> None:
    """Print the figures of one scan."""
    console = Console(stderr=True)
    console.print(f"\n[bold]{_safe(name)}[/bold]", highlight=False)
    for table in tables(found):
        if (narrow := table.narrow()).rows:
            console.print(_rich(narrow))
    console.print(found.verdict, markup=False, highlight=False)
    for note in found.notes:
        console.print(printable(note), style="dim", markup=False, highlight=False)


def print_summary(over: PatientFigures) -> None:
    """Print figures over patients, with their 95 % bootstrap intervals."""
    Console(stderr=True).print(_rich(patients_table(over).narrow()))


def _rich(table: FigureTable) -> Table:
    shown = Table(title=_safe(table.title))
    for place, heading in enumerate(table.header):
        shown.add_column(_safe(heading), justify="left" if place == 0 else "right")
    for row in table.rows:
        shown.add_row(*map(_safe, row))
    return shown


def _safe(text: str) -> str:
    """Return a text without markup and control characters of its own."""
    return escape(printable(text))
