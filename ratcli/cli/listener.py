"""What the terminal shows while a batch runs: progress, one line or JSON object for each scan."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ratcli.batch.interrupt import Interrupt
from ratcli.batch.outcome import Outcome
from ratcli.cli.console import LOG, ConsoleOptions, Progress, say
from ratcli.commands.batches import Listener
from ratcli.errors import sentence


class ConsoleListener(Listener):
    """Reports each scan when it is finished: lines on stderr, JSON on stdout.

    Args:
        options: how much is shown.
    """

    def __init__(self, options: ConsoleOptions) -> None:
        self.options = options
        self._progress: Progress | None = None
        self._interrupt: Interrupt | None = None
        self._alone = True

    @contextmanager
    def working(self, scans: int, *, elsewhere: bool = False) -> Iterator[None]:
        """Show progress, and let Ctrl-C end the work where it can be interrupted."""
        self._alone = scans == 1
        with Interrupt(at_once=elsewhere) as interrupt, Progress(self.options, scans) as progress:
            self._interrupt, self._progress = interrupt, progress
            try:
                yield
            finally:
                self._interrupt = self._progress = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if the user pressed Ctrl-C."""
        if self._interrupt is not None:
            self._interrupt.check()

    def planes(self, name: str, done: float, total: int) -> None:
        """Show the progress of one scan."""
        if self._progress is not None:
            self._progress.planes(name, done, total)

    def finished(self, outcome: Outcome) -> None:
        """Report one scan. If it is the only one, its failure is reported at the end."""
        if self._progress is not None:
            self._progress.finished(outcome.name)
        for notice in outcome.notices:
            LOG.warning("%s: %s", outcome.name, notice)
        if outcome.status == "failed":
            if not self._alone:
                LOG.error("%s", sentence(outcome.error, outcome.hint))
        elif outcome.is_left_out:
            LOG.log(logging.WARNING if outcome.exit_code else logging.INFO, "%s", outcome.error)
        elif outcome.status != "planned":
            LOG.info("%s", one_line(outcome))
        elif not self.options.json:
            say(one_line(outcome))
        if self.options.json and self.is_json(outcome):
            say(as_json_line(outcome))

    def is_json(self, outcome: Outcome) -> bool:
        """Return whether an outcome is a JSON object on stdout."""
        return True

    def ended(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Report how many scans were done, skipped and failed."""
        if len(outcomes) > 1:
            counts = Counter[str](outcome.status for outcome in outcomes)
            shown = ["done", "skipped", "failed", *(["left out"] if counts["left out"] else [])]
            parts = [f"{counts[status]} {status}" for status in shown]
            LOG.info("%s in %.1f s", ", ".join(parts), seconds)


def one_line(outcome: Outcome) -> str:
    """Return an outcome as a line for people."""
    if outcome.status == "skipped":
        return f"{outcome.name}: skipped, {outcome.error}"
    shown = outcome.name
    if outcome.shown:
        shown += f" -> {outcome.shown}"
    planes, task = outcome.facts.get("planes"), outcome.facts.get("task")
    parts = [
        *([str(task)] if task else []),
        *([f"{planes} plane{'' if planes == 1 else 's'}"] if planes else []),
        *([f"{outcome.seconds:.1f} s"] if outcome.status != "planned" else []),
    ]
    return f"{shown} ({', '.join(parts)})" if parts else shown


def as_json_line(outcome: Outcome) -> str:
    """Return an outcome as one JSON object, with its figures and without empty fields."""
    fields: dict[str, Any] = {"input": outcome.name, **asdict(outcome)}
    del fields["name"], fields["shown"]
    facts = fields.pop("facts")
    fields.update(facts)
    if outcome.status != "done":
        del fields["seconds"]
    return json.dumps(
        {name: value for name, value in fields.items() if value not in ("", None, ())}
    )
