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

INTERRUPTED = 130
"""Exit code of a process that a signal ended."""

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that ask for an end; Windows has no SIGHUP."""

_ANNOUNCEMENT = b"rat: ending soon; once more ends at once\n"
_LAST_S = 1.5
"""Time for the work to end after the second signal; then the process ends."""


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
        self._ended = threading.Event()
        self._pipe = self._wakeup = -1

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
            # Handlers wait until a library returns to Python; the pipe gets the number at once.
            heard, self._pipe = os.pipe()
            os.set_blocking(self._pipe, False)
            self._wakeup = signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
            threading.Thread(target=self._watch, args=(heard,), daemon=True).start()
        return self

    def _watch(self, heard: int) -> None:
        """End the process if the work does not end soon after the last signal."""
        left = 1 if self._at_once else 2
        while left and (number := os.read(heard, 1)):
            left -= number[0] in self._before
        os.close(heard)
        if not left and not self._ended.wait(_LAST_S):
            os._exit(INTERRUPTED)

    def close(self, error: BaseException | None = None) -> None:
        """Restore the handlers that the signals had before."""
        self._ended.set()
        if self._pipe >= 0:
            signal.set_wakeup_fd(self._wakeup)
            os.close(self._pipe)
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
