"""The outcome of one job of a batch, and the error that a batch ends with."""

from __future__ import annotations

import errno
import logging
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ratcli.errors import DeviceError, OutputError, PartialFailureError, RatError

LOG = logging.getLogger("ratcli.batch")

TRACE = 5
"""Logging level of tracebacks. They may quote a header, so only `--debug` shows them."""

Status = Literal["planned", "done", "skipped", "left out", "failed", "busy"]
Fact = str | int | float | bool | None | Sequence[Any] | Mapping[str, Any]
"""What JSON can hold; the parts of lists and mappings are facts, too."""


@dataclass(frozen=True)
class Outcome:
    """What became of one scan.

    Attributes:
        name: the input, relative to what was named on the command line.
        status: `planned`, `done`, `skipped`, `left out` (no job is for it) or `failed`; within a
            batch `busy`, while another process writes the output.
        output: the output, as it was planned.
        shown: the same as messages and manifests name it, without folders that may name a patient.
        seconds: time from the start of its work to the final name of its output.
        error: one sentence, empty unless failed (or the reason why it was skipped or left out).
        hint: the next step, as a sentence.
        exit_code: that of the error, 0 otherwise. A file that is left out has one if a scan lacks
            it: the batch ends with it, although nothing failed.
        input_sha256: hash of the input's files, empty where it was not asked for.
        output_sha256: the same of the output.
        parts_sha256: the same of each further file or folder of the output, by its name.
        notices: what is unusual about the scan, one sentence each.
        facts: figures about the work, or its result where that is no file.
    """

    name: str
    status: Status
    output: str = ""
    shown: str = ""
    seconds: float = 0.0
    error: str = ""
    hint: str = ""
    exit_code: int = 0
    input_sha256: str = ""
    output_sha256: str = ""
    parts_sha256: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def is_left_out(self) -> bool:
        """Whether no job is for it."""
        return self.status == "left out"

    @classmethod
    def failure(cls, name: str, error: BaseException, *, output: str = "") -> Outcome:
        """Return the outcome of a scan that an error ended."""
        known = as_rat_error(error)
        message = str(known)
        if not _is_named(name, message):
            message = f"{name}: {message}"
        return cls(
            name,
            "failed",
            output=output,
            error=message,
            hint=known.hint,
            exit_code=known.exit_code,
            notices=known.notices,
        )


def _is_named(name: str, message: str) -> bool:
    """Return whether a message names a scan; a word, such as CT, may stand there by chance."""
    search = re.match if name.isalpha() else re.search
    return search(rf"(?<!\w){re.escape(name)}(?!\w)", message) is not None


def as_rat_error(error: BaseException) -> RatError:
    """Return an error as a RatError, with a text that holds nothing of a patient and no path."""
    if isinstance(error, RatError):
        return error
    if is_out_of_memory(error):
        return DeviceError(
            "there is not enough memory", hint="Use a smaller --tile or fewer --jobs."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return OutputError(f"the output cannot be written: {(error.strerror or '').lower()}")
    LOG.log(TRACE, "%s", "".join(traceback.format_exception(error)).rstrip())
    return RatError(
        f"internal error ({type(error).__name__})",
        hint="This is a fault of rat. Run the same command with --debug to see where.",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ended: Python's, that of torch's CPU allocator, or of a library."""
    if isinstance(error, (RuntimeError, ImportError)):
        ends = ("can't allocate memory", "cannot allocate memory", "failed to map segment")
        return any(end in str(error).lower() for end in ends)
    return isinstance(error, MemoryError)


def failure_of(outcomes: Sequence[Outcome]) -> RatError | None:
    """Return the error that a batch ends with, or None if nothing failed.

    A single input gives its own error. If every input fails for the same reason, the exit code is
    that of the reason. Otherwise it is the one for a partial failure.
    """
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    lacking = [outcome for outcome in outcomes if outcome.is_left_out and outcome.exit_code]
    outcomes = [outcome for outcome in outcomes if not outcome.is_left_out]
    if not failed:
        return _left_out(lacking)
    if len(outcomes) == 1 and not lacking:
        return _coded(failed[0].error, failed[0].hint, failed[0].exit_code)
    message = f"{len(failed)} of {len(outcomes)} inputs failed"
    codes = {outcome.exit_code for outcome in failed}
    if len(failed) < len(outcomes):
        hint = "The others are done; the reasons are given above."
        return PartialFailureError(message, hint=hint)
    if len(codes) == 1:
        return _coded(message, "", codes.pop())
    return PartialFailureError(message, hint="The reasons are given above.")


def _left_out(outcomes: Sequence[Outcome]) -> RatError | None:
    if not outcomes:
        return None
    files = "1 file was" if len(outcomes) == 1 else f"{len(outcomes)} files were"
    return PartialFailureError(f"{files} left out", hint="The reasons are listed above.")


def _coded(message: str, hint: str, exit_code: int) -> RatError:
    error = RatError(message, hint=hint)
    error.exit_code = exit_code  # type: ignore[misc]
    return error
