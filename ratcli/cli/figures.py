"""The tables that `rat evaluate` prints, on stderr: stdout is data."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ratcli.evaluation.patients import PatientFigures
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.tables import tables
from ratcli.evaluation.tables.patients import patients_table
from ratcli.evaluation.tables.table import FigureTable


def print_scan(name: str, found: Evaluation) -> None:
    """Print the figures of one scan."""
    console = Console(stderr=True)
    console.print(f"\n[bold]{escape(name)}[/bold]", highlight=False)
    for table in tables(found):
        if (narrow := table.narrow()).rows:
            console.print(_rich(narrow))
    console.print(found.verdict, markup=False, highlight=False)
    for note in found.notes:
        console.print(note, style="dim", markup=False, highlight=False)


def print_summary(over: PatientFigures) -> None:
    """Print figures over patients, with their 95 % bootstrap intervals."""
    Console(stderr=True).print(_rich(patients_table(over).narrow()))


def _rich(table: FigureTable) -> Table:
    shown = Table(title=escape(table.title))
    for place, heading in enumerate(table.header):
        shown.add_column(escape(heading), justify="left" if place == 0 else "right")
    for row in table.rows:
        shown.add_row(*map(escape, row))
    return shown
