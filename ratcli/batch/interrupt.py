"""Ctrl-C, SIGTERM and SIGHUP: the first ends the work at the next safe point, the second now."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from typing_extensions import Self

from ratcli.batch.closing import Closing

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that ask for an end; Windows has no SIGHUP."""

_ANNOUNCEMENT = b"rat: ending after this plane; once more ends at once\n"


class Interrupt(Closing):
    """Catches signals while it is entered. Call `check` between planes, where the work can end.

    An interrupt in the middle of a file operation could leave half a file behind.

    Args:
        numbers: the signals to catch; one that is ignored, as SIGHUP under nohup, stays so.
        at_once: raise at the first signal already, for code that can end anywhere.
        announce: print to stderr that the signal was caught.
    """

    def __init__(
        self,
        numbers: tuple[signal.Signals, ...] = ENDING,
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
            with contextlib.suppress(OSError):  # the terminal may be gone
                os.write(2, _ANNOUNCEMENT)  # a print could be interrupted by this very handler

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._catch)
        return self

    def close(self, error: BaseException | None = None) -> None:
        """Restore the handlers that the signals had before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Let processes that are started inside never see Ctrl-C and SIGHUP of their terminal.

    Whoever starts them decides when they end. What comes meanwhile reaches this process after it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
