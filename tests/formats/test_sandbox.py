"""Decoders run in a process of their own: what they end, use up or raise stays there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ratcli.errors import RatError, UnreadableInputError, UnsuitableInputError
from ratcli.formats import sandbox
from ratcli.formats.sandbox import run_apart


class Panic(BaseException):
    """Raised by a codec written in Rust."""


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)


def fail(error: BaseException) -> None:
    raise error


def turned(image: np.ndarray) -> tuple[np.ndarray, str]:
    os.write(1, b"what libraries print is no answer")
    return image.T, "turned"


def process() -> int:
    return os.getpid()


def burn() -> None:
    while True:
        time.process_time()


def fill() -> int:
    return len(np.ones(1 << 29))


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGKILL])
def test_a_crash_is_an_error_of_what_was_decoded(number: int) -> None:
    with pytest.raises(UnreadableInputError, match=r"^page 3 crashed the decoder$"):
        run_apart("page 3", 1, end_by, number)
    assert run_apart("page 4", 1, abs, -1) == 1


@pytest.mark.parametrize("shape", [(0, 3), (3, 5), (1500, 1300)])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "f4"])
def test_arrays_come_back_as_they_are(shape: tuple[int, int], dtype: str) -> None:
    image = np.arange(shape[0] * shape[1]).reshape(shape).astype(dtype)
    found, word = run_apart("it", image.size, turned, image)
    assert (found.dtype, word) == (image.dtype, "turned")
    np.testing.assert_array_equal(found, image.T)


def test_one_process_is_kept() -> None:
    assert os.getpid() != run_apart("it", 1, process) == run_apart("it", 1, process)


def test_a_process_that_was_ended_between_two_calls_is_replaced() -> None:
    end = run_apart("it", 1, process)
    os.kill(end, signal.SIGKILL)
    os.waitid(os.P_PID, end, os.WEXITED | os.WNOWAIT)
    assert run_apart("it", 1, process) != end


def test_errors_for_the_user_keep_their_hint() -> None:
    with pytest.raises(UnsuitableInputError, match="too bright") as caught:
        run_apart("it", 1, fail, UnsuitableInputError("too bright", hint="Darken it."))
    assert caught.value.hint == "Darken it."


@pytest.mark.parametrize("error", [KeyError("a"), MemoryError(), Panic(), SystemExit(0)])
def test_any_other_error_is_one_of_the_data(error: BaseException) -> None:
    with pytest.raises(ValueError, match=type(error).__name__):
        run_apart("it", 1, fail, error)


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_SECONDS", 1)
    with pytest.raises(RatError, match="it took too long"):
        run_apart("it", 1, burn)


def test_memory_is_limited() -> None:
    with pytest.raises(ValueError, match="MemoryError"):
        run_apart("it", 1, fill)


def test_a_forked_process_has_decoders_of_its_own() -> None:
    code = """
import os
from ratcli.formats.sandbox import run_apart
ours = run_apart("it", 1, os.getpid)
child = os.fork()
if child == 0:
    os._exit(run_apart("it", 1, os.getpid) == ours)
assert os.waitpid(child, 0)[1] == 0
assert run_apart("it", 1, os.getpid) == ours
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def is_running(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed on Linux")
def test_decoders_end_with_the_process_that_was_killed() -> None:
    code = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_sandbox import burn, run_apart
print(run_apart("it", 1, os.getpid), flush=True)
run_apart("it", 1, burn)
"""
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        decoder = int(parent.stdout.readline())
        assert is_running(decoder)
        parent.kill()
    end = time.monotonic() + 15  # the limit of its time is 20 s
    while is_running(decoder):
        assert time.monotonic() < end
        time.sleep(0.05)
