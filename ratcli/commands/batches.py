"""Runs the batch of a command: its plan, its listener, its outcomes, and the error at the end.

A listener is called as a command proceeds. The default in Python does nothing.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ratcli import __version__
from ratcli.batch.choosing import found_task
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Fact, Outcome, failure_of
from ratcli.commands.options import recorded
from ratcli.errors import RatError

if TYPE_CHECKING:
    from ratcli.batch.session import Batch
    from ratcli.batch.work import Work

LOG = logging.getLogger("ratcli.commands")


@contextmanager
def timed(listener: Listener, batch: Batch) -> Iterator[Callable[[], float]]:
    """Tell the listener when a batch begins and ends; yields a function for the seconds so far."""
    began = time.monotonic()
    scans = len(batch.jobs) + len(batch.plan.outcomes)
    with listener.working(scans, elsewhere=batch.is_elsewhere):
        yield lambda: time.monotonic() - began


def planned(batch: Batch, work: Work, listener: Listener) -> list[Outcome]:
    """Return what a batch would do. Headers are read; nothing is computed or written.

    Raises:
        RatError: something would fail; see `failure_of`.
    """
    outcomes = list(batch.plan.outcomes)
    for job in batch.jobs:
        try:
            with work.open(job) as reader:
                notices = job.notices(reader.info)
                facts = {"task": found_task(job.task, reader.info)} if job.task else {}
            outcomes.append(
                Outcome(
                    job.name, "planned", job.output_text, job.shown, notices=notices, facts=facts
                )
            )
        except RatError as error:
            outcomes.append(Outcome.failure(job.name, error, output=job.output_text))
    with listener.working(len(outcomes)):
        for outcome in outcomes:
            listener.finished(outcome)
    return finish(outcomes)


def finish(outcomes: Sequence[Outcome], late: RatError | None = None) -> list[Outcome]:
    """Return the outcomes of a command, or raise the error if something failed.

    Args:
        outcomes: of all scans.
        late: what went wrong after the batch, or None.

    Raises:
        RatError: something failed; see `failure_of`.
    """
    error = failure_of(outcomes) or late
    if error is not None:
        raise error
    return list(outcomes)


def run_batch(batch: Batch, work: Work, listener: Listener, *, dry_run: bool) -> list[Outcome]:
    """Run a batch, or only show what it would do.

    Raises:
        RatError: something failed; see `failure_of`.
    """
    if dry_run:
        return planned(batch, work, listener)
    with timed(listener, batch) as seconds:
        outcomes = batch.run(work, listener)
    listener.ended(outcomes, seconds())
    return finish(outcomes)


def header_of(
    command: str, options: Any, resolved: Mapping[str, Fact], libraries: Mapping[str, Fact]
) -> Header:
    """Return what the manifest of a batch records about the batch; empty without a manifest.

    Args:
        command: the verb.
        options: those of the command, with a field `manifest`.
        resolved: settings that change pixels and depend on more than the options: defaults of the
            task, hashes. They are compared when a batch is resumed, as are the options that
            change pixels.
        libraries: libraries to record with their versions (value None), and other facts. They are
            not compared.
    """
    if options.manifest is None:
        return Header()
    versions = {name: value or metadata.version(name) for name, value in libraries.items()}
    python = platform.python_version()
    recorded_facts = {"command": command, "rat": __version__, "python": python, **versions}
    return Header({**recorded(options), **resolved}, recorded_facts)


class Listener:
    """Is called as a command proceeds. Override the methods that you need."""

    def working(self, scans: int, *, elsewhere: bool = False) -> AbstractContextManager[object]:
        """Return a context manager that is entered while the scans are worked on.

        Args:
            scans: how many.
            elsewhere: whether a cluster does the work, so that this process can end at any time.
        """
        return nullcontext()

    def check(self) -> None:
        """Raise KeyboardInterrupt to end the work; called where it can be interrupted."""

    def planes(self, name: str, done: float, total: int) -> None:
        """Some planes of a scan are done; a part of a plane counts, too."""

    def finished(self, outcome: Outcome) -> None:
        """One scan is finished, skipped or failed."""
        if outcome.status == "failed":
            LOG.error("%s", outcome.error)

    def result(self, result: object) -> None:
        """The figures or facts of one scan are known (`rat evaluate`, `rat info`)."""

    def ended(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """All scans are finished."""


SILENT = Listener()
