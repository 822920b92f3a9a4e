"""The error tree: what a user can mend, each class with the exit code it causes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class RatError(Exception):
    """A problem the user can mend.

    Args:
        message: one sentence with what was found and what was expected; never a patient's data.
        hint: the next step, as a sentence; shown after the message.

    Attributes:
        notices: what is unusual about the scan that is refused, one sentence each.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.notices: tuple[str, ...] = ()


class UsageError(RatError):
    """The command line, a configuration file or a setting is wrong."""

    exit_code = 2


class InputNotFoundError(RatError):
    """No file, folder or scan was found where one was named."""

    exit_code = 3


class UnreadableInputError(RatError):
    """The input exists but is damaged, hostile or of a kind that is not read."""

    exit_code = 4


class UnsuitableInputError(RatError):
    """The input is readable, but is not what the task restores (modality, unit, channels)."""

    exit_code = 4


class MeasurementError(RatError):
    """A figure cannot be measured on this input (too few patches, no edge, no reference)."""

    exit_code = 4


class OutputError(RatError):
    """The output exists, cannot be written, or would overwrite the input."""

    exit_code = 5


class DeviceError(RatError):
    """The device is missing or has too little memory."""

    exit_code = 6


class WeightsError(RatError):
    """Weights are missing, damaged, or of another architecture or task."""

    exit_code = 7


class PartialFailureError(RatError):
    """Some inputs of a batch failed and the others are done."""

    exit_code = 8


def nearest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a hint with the one of some names that is nearest, or another hint if none is near.

    The first name that begins with the one that was given is the nearest.
    """
    names = list(known)
    near = [each for each in names if name and each.startswith(name)]
    near = near or difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"Did you mean {near[0]}?" if near else otherwise


def sentence(message: str, hint: str = "") -> str:
    """Return message and hint as sentences on one line."""
    parts = (part.strip().rstrip(".") for part in (message, hint))
    return " ".join(f"{part}." if part[-1] not in "?!" else part for part in parts if part)


def reason_of(error: OSError) -> str:
    """Return why the system refused, in lower case; libraries wrap the error that says so."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror.lower()
        found = found.__cause__ or found.__context__
    return "the system does not say why"
