"""What the terminal shows of an evaluation: the figures of each scan, and those over patients."""

from __future__ import annotations

import json

from ratcli.batch.evaluating import MeasuredScan
from ratcli.batch.outcome import Outcome
from ratcli.cli.console import say
from ratcli.cli.figures import print_scan, print_summary
from ratcli.cli.listener import ConsoleListener
from ratcli.evaluation.export import as_dict, summary_rows
from ratcli.evaluation.patients import PatientFigures


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
