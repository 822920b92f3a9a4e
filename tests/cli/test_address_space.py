"""A small address space (`ulimit -v`) is said; it does not end the process without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ratcli.batch.outcome import as_rat_error
from ratcli.errors import DeviceError

SCAN = Path(__file__).resolve().parents[2] / "examples" / "ct_phantom.dcm"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on Windows")


def run(limit_gb: int, *words: object) -> tuple[int, str]:
    """Run `rat` within a limit, and return its exit code and all that it said."""
    limited = f'ulimit -v {limit_gb}000000; exec {sys.executable} -m ratcli "$@"'
    command = ["bash", "-c", limited, "rat", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("limit_gb", [2, 3])
@pytest.mark.parametrize(
    "words",
    [("restore",), ("simulate", "--dose", "0.5"), ("segment", "--partition", "sam-compact")],
)
def test_what_needs_torch_is_refused(tmp_path: Path, limit_gb: int, words: tuple[str, ...]) -> None:
    command, *more = words
    code, said = run(limit_gb, command, SCAN, "-t", "ct-denoise", "-o", tmp_path / "a.dcm", *more)
    assert code == 6
    assert f"the address space is limited to {limit_gb * 1.024:.1f} GB" in said
    assert "ulimit -v" in said
    assert list(tmp_path.iterdir()) == []


def test_what_needs_no_torch_works() -> None:
    assert run(2, "info", SCAN)[0] == 0
    code, said = run(2, "doctor")
    assert code == 0
    assert "the address space is limited to 2.0 GB" in said


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        ImportError("libx.so: failed to map segment from shared object"),
        ImportError("libx.so: cannot allocate memory in static TLS block"),
    ],
)
def test_memory_that_ends_is_a_fault_of_the_device(error: Exception) -> None:
    assert isinstance(as_rat_error(error), DeviceError)
