"""Limits of a quick look at a scan: it is described in seconds, or the look ends with an error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from ratcli.errors import UnreadableInputError

_INFLATED_BYTES, _RATIO = 1 << 29, 8
_SECONDS = 3.0
_SAMPLES = 1 << 24


class QuickLookError(UnreadableInputError):
    """A quick look at a scan would take too long or too much memory; the scan may be genuine."""


@dataclass
class QuickLook:
    """What is left of the work that a quick look may take.

    Attributes:
        inflated: bytes that streams may inflate to.
        seconds: time that decoders may take.
        samples: numbers that may be decoded at once.
    """

    inflated: int
    seconds: float
    samples: int


_LOOK: ContextVar[QuickLook | None] = ContextVar("quick look", default=None)


@contextlib.contextmanager
def quick_look(file_bytes: int) -> Iterator[None]:
    """Limit the work of all readers inside the `with` block.

    Args:
        file_bytes: size of the scan's files; large ones may inflate to more.
    """
    inflated = max(_INFLATED_BYTES, _RATIO * file_bytes)
    token = _LOOK.set(QuickLook(inflated, _SECONDS, _SAMPLES))
    try:
        yield
    finally:
        _LOOK.reset(token)


def check_look(*, samples: int = 0, inflated: int = 0) -> None:
    """Refuse work that is too much for a quick look, if one is being taken.

    Args:
        samples: numbers that are to be decoded at once.
        inflated: bytes that a stream inflates to, in addition to all before.

    Raises:
        QuickLookError: it is too much.
    """
    look = _LOOK.get()
    if look is None:
        return
    look.inflated -= inflated
    if look.inflated < 0:
        raise QuickLookError("too many bytes would have to be inflated")
    if samples > look.samples:
        raise QuickLookError(f"{samples} values would have to be decoded at once")
    if samples and look.seconds <= 0:
        raise QuickLookError("decoding takes too long")


@contextlib.contextmanager
def timed_look(samples: int, seconds: float) -> Iterator[float]:
    """Give the seconds that decoding may take, and count those that it takes.

    Args:
        samples: numbers that are to be decoded at once.
        seconds: how many it may take if no quick look is being taken.

    Raises:
        QuickLookError: it would be too much for a quick look.
    """
    look = _LOOK.get()
    if look is None:
        yield seconds
        return
    check_look(samples=samples)
    began = time.monotonic()
    try:
        yield min(seconds, look.seconds)
    except TimeoutError:
        raise QuickLookError("decoding takes too long") from None
    finally:
        look.seconds -= time.monotonic() - began
