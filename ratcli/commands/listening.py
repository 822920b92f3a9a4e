"""Listeners: who hears how a command is getting on. Python's default hears nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from ratcli.batch.outcome import Outcome

LOG = logging.getLogger("ratcli.commands")


class Listener:
    """Hears what a command does; every method may be overridden, none needs to be."""

    def working(self, scans: int, *, elsewhere: bool = False) -> AbstractContextManager[object]:
        """Return what is entered while the scans are worked on.

        Args:
            scans: how many.
            elsewhere: whether a cluster does the work, so that this process may end at any time.
        """
        return nullcontext()

    def check(self) -> None:
        """Raise KeyboardInterrupt if the work is to end; called where it can be left."""

    def planes(self, name: str, done: int, total: int) -> None:
        """One scan has come this far."""

    def finished(self, outcome: Outcome) -> None:
        """This became of one scan."""
        if outcome.status == "failed":
            LOG.error("%s", outcome.error)

    def result(self, result: object) -> None:
        """A command that gives figures or facts has those of one scan."""

    def ended(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """All scans are through."""


SILENT = Listener()
