"""Runs decoders in a process of its own, so that a crash in one costs one file and nothing else.

The process is a bare interpreter with the codecs, about 50 MB; it starts with the first compressed
frame and is kept. It protects against accidents, not against code that takes it over.
"""

from __future__ import annotations

import atexit
import math
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from ratcli.errors import DeviceError, RatError, UnreadableInputError, reason_of
from ratcli.formats.quick_look import timed_look

_SECONDS, _SAMPLES_PER_S = 20, 1 << 20
"""Processor time of a decoder: the slowest that are genuine take a tenth of it."""

_BYTES, _BYTES_PER_SAMPLE = 1 << 29, 32
"""Address space of a decoder beyond its code: JPEG 2000 takes 12 bytes for each sample."""

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; from ratcli.formats.sandbox import serve; serve()"
)
_TOO_LONG = -24
"""How a process ends that used up its processor time (SIGXCPU)."""

Result = TypeVar("Result")


def run_apart(what: str, samples: int, function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function in the process of the decoders, within limits of time and memory.

    Args:
        what: what is decoded, to begin a message with, as `the pixel data of page 3`.
        samples: how many numbers come out at most.
        function: one of a module; what it takes and returns can be pickled.
        arguments: of the function.

    Raises:
        UnreadableInputError: the function ended the process, or took too long.
        RatError: the function raised it.
        ValueError: the function raised anything else.
        DeviceError: the process cannot be started.
    """
    seconds = _SECONDS + samples // _SAMPLES_PER_S
    room = _BYTES + _BYTES_PER_SAMPLE * samples
    try:
        with timed_look(samples, seconds) as seconds_left:
            found = _decoders.call((math.ceil(seconds_left), room, function, arguments))
    except TimeoutError:
        raise UnreadableInputError(f"{what} took too long to decode") from None
    except EOFError:
        raise UnreadableInputError(
            f"{what} crashed the decoder", hint="The file is damaged."
        ) from None
    if isinstance(found, BaseException):
        raise found
    return cast("Result", found)


class _Decoders:
    """The process: one for this process, whatever the number of its threads."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process must: the process belongs to the one that started it."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, request: object) -> object:
        """Send a request and return the answer.

        Raises:
            TimeoutError: the process has used up its time.
            EOFError: it ended for another reason.
            DeviceError: it cannot be started.
        """
        with self._lock:
            process = self._started()
            try:
                _send(cast("IO[bytes]", process.stdin), request)
                return _receive(cast("IO[bytes]", process.stdout))
            except (EOFError, BrokenPipeError):
                raise (TimeoutError if self._ended() == _TOO_LONG else EOFError) from None
            except BaseException:  # an answer that was not read must not be taken for the next one
                self.end()
                raise

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._ended()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._ended()
        if self._process is None:
            path = [str(Path(place).absolute()) for place in sys.path if place]
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM, *path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the process that started it
                )
            except OSError as error:
                raise DeviceError(
                    f"the process that decodes pixels cannot be started: {reason_of(error)}"
                ) from error
        return self._process

    def _ended(self) -> int:
        """Wait for the end of the process, and return how it ended."""
        process, self._process = self._process, None
        assert process is not None
        process.communicate()  # closes the pipes
        return process.returncode


_decoders = _Decoders()
atexit.register(_decoders.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_decoders.forget)


def serve() -> None:
    """Answer requests until the pipe is closed; this is what the process does."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            seconds, room, function, arguments = cast("Any", _receive(requests))
        except EOFError:
            return
        _limit(seconds, room)
        try:
            _send(answers, function(*arguments))
        except RatError as error:
            _send(answers, error)
        except BaseException as error:  # codecs raise many classes; that of Rust is no Exception
            _send(answers, ValueError(f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """End this process, even in the middle of a call, when nobody waits for an answer any more."""
    if hasattr(select, "poll"):
        closed = select.poll()
        closed.register(0, 0)
        closed.poll()  # the other end of the pipe of requests
        os._exit(1)


def _limit(seconds: int, room: int) -> None:
    """Bound the processor time and the further bytes of the next call, where the system can."""
    if sys.platform == "win32":
        return
    import resource

    def lower(kind: int, wanted: int) -> None:
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (wanted if hard < 0 else min(wanted, hard), hard))

    lower(resource.RLIMIT_CORE, 0)
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = math.ceil(used.ru_utime + used.ru_stime)
    lower(resource.RLIMIT_CPU, spent + seconds)
    mapped = Path("/proc/self/statm")
    if mapped.exists():
        pages = int(mapped.read_text().split()[0])
        lower(resource.RLIMIT_AS, pages * resource.getpagesize() + room)


def _send(pipe: IO[bytes], message: object) -> None:
    """Write an object; the numbers of its arrays are not copied on the way."""
    arrays: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
    parts: list[bytes | memoryview] = [head, *(array.raw() for array in arrays)]
    pipe.write(struct.pack(f"<Q{len(parts)}Q", len(parts), *(len(part) for part in parts)))
    for part in parts:
        pipe.write(part)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> object:
    """Read an object.

    Raises:
        EOFError: the other process has ended.
    """
    (count,) = struct.unpack("<Q", _exactly(pipe, 8))
    sizes = struct.unpack(f"<{count}Q", _exactly(pipe, 8 * count))
    head, *arrays = [_exactly(pipe, size) for size in sizes]
    return pickle.loads(head, buffers=arrays)


def _exactly(pipe: IO[bytes], size: int) -> bytearray:
    data = bytearray(size)
    if cast("Any", pipe).readinto(data) < size:
        raise EOFError
    return data
