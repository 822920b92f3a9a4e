"""What commands over many scans share: progress, a line or a JSON object each, the end."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratcli.batch.interrupt import Interrupt
from ratcli.batch.outcome import Outcome, failure_of
from ratcli.cli.console import LOG, Progress, Talk, say, sentence
from ratcli.errors import RatError

if TYPE_CHECKING:
    from ratcli.batch.session import Batch
    from ratcli.batch.work import Work

After = Callable[[list[Outcome]], "RatError | None"]


class Teller:
    """Tells of each scan as it is finished: lines on stderr, JSON on stdout.

    Args:
        progress: the bar.
        interrupt: asked between planes and between scans.
        as_json: whether each outcome is an object on stdout.
        alone: whether there is one scan only, whose failure is told at the end.
    """

    def __init__(
        self, progress: Progress, interrupt: Interrupt, *, as_json: bool, alone: bool
    ) -> None:
        self._progress = progress
        self._interrupt = interrupt
        self._as_json = as_json
        self._alone = alone

    def check(self) -> None:
        """Raise KeyboardInterrupt if the user wants an end."""
        self._interrupt.check()

    def planes(self, name: str, done: int, total: int) -> None:
        """Tell how far one scan has come."""
        self._progress.planes(name, done, total)

    def finished(self, outcome: Outcome) -> None:
        """Tell what became of one scan."""
        self._progress.finished(outcome.name)
        if outcome.status != "failed":
            LOG.info("%s", one_line(outcome))
        elif not self._alone:
            tell_failure(outcome)
        if self._as_json:
            say(as_json_line(outcome))


def run_batch(
    batch: Batch, work: Work, talk: Talk, *, as_json: bool, after: After | None = None
) -> None:
    """Run a batch and tell of it.

    Args:
        batch: the jobs.
        work: what to do to each.
        talk: how much is told.
        as_json: whether each outcome is an object on stdout.
        after: called with all outcomes at the end; returns what went wrong in it, or None.

    Raises:
        RatError: something failed; see `failure_of`.
    """
    scans = len(batch.jobs) + len(batch.plan.outcomes)
    started = time.monotonic()
    interrupt = Interrupt(at_once=batch.is_elsewhere)
    with interrupt, Progress(talk, scans) as progress:
        teller = Teller(progress, interrupt, as_json=as_json, alone=scans == 1)
        outcomes = batch.run(work, teller)
    if scans > 1:
        _tell_sum(outcomes, time.monotonic() - started)
    late = None if after is None else after(outcomes)
    error = failure_of(outcomes) or late
    if error is not None:
        raise error


def tell_plan(batch: Batch, work: Work, talk: Talk, *, as_json: bool) -> None:
    """Tell what a batch would do; headers are read, nothing is computed or written.

    Raises:
        RatError: something would fail; see `failure_of`.
    """
    outcomes = list(batch.plan.outcomes)
    for job in batch.jobs:
        try:
            work.open(job).__exit__(None, None, None)
            outcomes.append(Outcome(job.name, "planned", output=str(job.output)))
        except RatError as error:
            outcomes.append(Outcome.failure(job.name, error, output=str(job.output)))
    for outcome in outcomes:
        if as_json:
            say(as_json_line(outcome))
        elif outcome.status != "failed":
            say(one_line(outcome))
    raise_failures(outcomes)


def raise_failures(outcomes: list[Outcome]) -> None:
    """Tell of failures, and end with the error that they make up together.

    Raises:
        RatError: something failed; see `failure_of`.
    """
    if len(outcomes) > 1:
        for outcome in outcomes:
            if outcome.status == "failed":
                tell_failure(outcome)
    error = failure_of(outcomes)
    if error is not None:
        raise error


def tell_failure(outcome: Outcome) -> None:
    """Tell why one scan of several failed."""
    LOG.error("%s", sentence(outcome.error, outcome.hint))


def one_line(outcome: Outcome) -> str:
    """Return an outcome as a line for people."""
    if outcome.status == "skipped":
        return f"{outcome.name}: skipped, {outcome.error}"
    shown = f"{outcome.name} -> {Path(outcome.output).name}"
    if outcome.status == "planned":
        return shown
    planes = outcome.facts.get("planes")
    count = f"{planes} plane{'' if planes == 1 else 's'}, " if planes else ""
    return f"{shown} ({count}{outcome.seconds:.1f} s)"


def as_json_line(outcome: Outcome) -> str:
    """Return an outcome as one JSON object; figures stand beside the rest, empty fields do not."""
    fields: dict[str, Any] = {"input": outcome.name, **asdict(outcome)}
    del fields["name"]
    facts = fields.pop("facts")
    if outcome.status == "done":
        fields.update(facts)
    else:
        del fields["seconds"]
    return json.dumps({name: value for name, value in fields.items() if value not in ("", None)})


def _tell_sum(outcomes: list[Outcome], seconds: float) -> None:
    counts = Counter(outcome.status for outcome in outcomes)
    parts = [f"{counts[status]} {status}" for status in ("done", "skipped", "failed")]
    LOG.info("%s in %.1f s", ", ".join(parts), seconds)
