"""Ctrl-C and SIGTERM: the first ends the work at the next safe point, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from typing_extensions import Self

from ratcli.batch.closing import Closing

_ANNOUNCEMENT = b"rat: ending after this plane; once more ends at once\n"


class Interrupt(Closing):
    """Catches signals while it is entered. Call `check` between planes, where the work can end.

    An interrupt in the middle of a file operation could leave half a file behind.

    Args:
        numbers: the signals to catch.
        at_once: raise at the first signal already, for code that can end anywhere.
        announce: print to stderr that the signal was caught.
    """

    def __init__(
        self,
        numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM),
        *,
        at_once: bool = False,
        announce: bool = True,
    ) -> None:
        self._numbers = numbers
        self._at_once = at_once
        self._announce = announce
        self._caught = False
        self._before: dict[signal.Signals, Any] = {}

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self._caught:
            raise KeyboardInterrupt

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self._caught or self._at_once:
            raise KeyboardInterrupt
        self._caught = True
        if self._announce:
            os.write(2, _ANNOUNCEMENT)  # a print could be interrupted by this very handler

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                self._before[number] = signal.signal(number, self._catch)
        return self

    def close(self, error: BaseException | None = None) -> None:
        """Restore the handlers that the signals had before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
