"""How far a scan has come, also within the planes that are in the network."""

from __future__ import annotations

import time
from collections.abc import Callable

PlaneProgress = Callable[[float, int], None]
"""Called with how many planes are done and of how many; with panes if planes are cut. A part of one
counts, too."""

TOLD_EVERY_S = 0.5


class InsidePlanes:
    """Tells from time to time how far the planes that are in the network have come.

    Args:
        progress: is told; None for nobody.
        done: planes or panes that are done.
        count: those in the network.
        total: of the scan.
    """

    def __init__(self, progress: PlaneProgress | None, done: int, count: int, total: int) -> None:
        self._progress, self._done, self._count, self._total = progress, done, count, total
        self._next = time.monotonic() + TOLD_EVERY_S

    def heard(self, share: float) -> None:
        """Hear which share of the work on these planes is done."""
        if self._progress is not None and time.monotonic() > self._next:
            self._progress(self._done + share * self._count, self._total)
            self._next = time.monotonic() + TOLD_EVERY_S
