"""Streams that are full, closed, or read by nobody do not stop the work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ratcli.cli.streams import printable

ROOT = Path(__file__).resolve().parents[2]
SCAN = ROOT / "examples" / "ct_phantom.dcm"
RAT = f"{sys.executable} -m ratcli"
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def run(command: str) -> tuple[int, str]:
    """Return the exit code of the first command of a pipe, and what reached this process."""
    line = f"{command}; code=${{PIPESTATUS[0]}}; echo; echo code $code"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=True, timeout=120, cwd=ROOT
    )
    *lines, last = done.stdout.splitlines()
    return int(last.removeprefix("code ")), "\n".join(lines).strip() + done.stderr


@needs_full
def test_a_full_standard_output_is_said_and_is_an_output_error() -> None:
    code, said = run(f"{RAT} info --header-only {SCAN} --json > /dev/full")
    assert code == 5
    assert "standard output cannot be written: no space left on device" in said


@pytest.mark.parametrize("stderr", [pytest.param("/dev/full", marks=needs_full), "&-"])
def test_results_come_without_a_standard_error(stderr: str) -> None:
    code, said = run(f"{RAT} info --header-only {SCAN} --json 2>{stderr}")
    assert code == 0
    assert json.loads(said)["tasks"] == ["ct-denoise"]


def test_a_reader_that_ends_early_is_no_error() -> None:
    code, said = run(f"{RAT} info --header-only {SCAN} {SCAN} --json | head -c 1")
    assert (code, said) == (0, "{")


@needs_full
def test_a_log_file_that_is_full_is_said_once(tmp_path: Path, tiny_weights: Path) -> None:
    made = tmp_path / "a.dcm"
    words = f"{RAT} restore {SCAN} -t ct-denoise -o {made} --threads 1 -v --log-file /dev/full"
    code, said = run(words)
    assert code == 0
    assert made.is_file()
    assert said.count("the log full cannot be written any more") == 1
    assert "Traceback" not in said


def test_no_name_can_move_the_cursor_or_begin_a_line() -> None:
    assert printable("a\nwarning: b\x1b[2J\x9b") == "a\\x0awarning: b\\x1b[2J\\x9b"
