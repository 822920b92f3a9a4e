"""Ctrl-C and SIGTERM: the first ends the work where it can be left clean, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from typing_extensions import Self

from ratcli.batch.closing import Closing

_TOLD = b"rat: ending after this plane; once more ends at once\n"


class Interrupt(Closing):
    """Hears signals while it is entered; whoever works asks `check` between planes.

    An interrupt in the middle of a file operation could leave half a file behind.

    Args:
        numbers: the signals to hear.
        at_once: raise at the first signal already, for code that may be left anywhere.
        tell: say on stderr that the signal was heard.
    """

    def __init__(
        self,
        numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM),
        *,
        at_once: bool = False,
        tell: bool = True,
    ) -> None:
        self._numbers = numbers
        self._at_once = at_once
        self._tell = tell
        self._heard = False
        self._before: dict[signal.Signals, Any] = {}

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self._heard:
            raise KeyboardInterrupt

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._heard or self._at_once:
            raise KeyboardInterrupt
        self._heard = True
        if self._tell:
            os.write(2, _TOLD)  # a print could be interrupted by this very handler

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                self._before[number] = signal.signal(number, self._hear)
        return self

    def close(self, error: BaseException | None = None) -> None:
        """Give the signals back to those who heard them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
