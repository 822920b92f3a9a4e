"""Listeners, which are called as a command proceeds. The default in Python does nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from ratcli.batch.outcome import Outcome

LOG = logging.getLogger("ratcli.commands")


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

    def planes(self, name: str, done: int, total: int) -> None:
        """Some planes of a scan are done."""

    def finished(self, outcome: Outcome) -> None:
        """One scan is finished, skipped or failed."""
        if outcome.status == "failed":
            LOG.error("%s", outcome.error)

    def result(self, result: object) -> None:
        """The figures or facts of one scan are known (`rat evaluate`, `rat info`)."""

    def ended(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """All scans are finished."""


SILENT = Listener()
