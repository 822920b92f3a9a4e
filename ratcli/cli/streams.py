"""Standard streams that may be closed, full, or read by nobody: the work continues without them."""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ratcli.errors import OutputError, reason_of

# Control characters, which could move the cursor of a terminal or begin a new line of a log.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}

_AS_JSON = "rat-json"


class GuardedStream:
    """Writes to a stream until that fails, and drops what comes after.

    Args:
        stream: standard output or standard error; None if the caller of the process closed it.

    Attributes:
        failure: why writing failed; None as long as it did not.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text; characters that the stream cannot encode are escaped."""
        self._attempt(lambda stream: _write(stream, text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._attempt(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream is not None and self.failure is None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        if self._stream is None:
            raise AttributeError(name)
        return getattr(self._stream, name)

    def _attempt(self, do: Any) -> None:
        if self._stream is None or self.failure is not None:
            return
        try:
            do(self._stream)
        except OSError as error:
            self.failure = error
            _discard(self._stream)


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Guard both standard streams.

    Raises:
        OutputError: standard output could not be written, at the end of the work. A reader that
            ended early, such as `head`, is no error.
    """
    before = sys.stdout, sys.stderr
    out, err = GuardedStream(before[0]), GuardedStream(before[1])
    sys.stdout, sys.stderr = out, err
    try:
        yield
        out.flush()
    finally:
        sys.stdout, sys.stderr = before
    if out.failure is not None and out.failure.errno != errno.EPIPE:
        reason = reason_of(out.failure)
        raise OutputError(f"standard output cannot be written: {reason}")


def printable(text: str) -> str:
    """Return a text on one line, with control characters escaped."""
    return text.translate(_CONTROLS)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, _AS_JSON).decode(encoding))
    if "\n" in text:
        stream.flush()


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""Return characters as JSON escapes them (`\uXXXX`), so that JSON on stdout stays valid."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_AS_JSON, _escape)


def _discard(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, so that Python does not fail when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
