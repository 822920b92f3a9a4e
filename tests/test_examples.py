"""The scripts in examples/ do what they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CODE = "import sys; from ratcli.cli.app import main; sys.exit(main())"


@pytest.fixture
def environment(tmp_path: Path, tiny_weights: Path) -> dict[str, str]:
    """An environment whose `rat` and `python3` are those of this interpreter."""
    if sys.platform == "win32" or shutil.which("sh") is None:
        pytest.skip("the examples are shell scripts")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in (("rat", f'-c "{CODE}"'), ("python3", "")):
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        script.chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}


def run(script: str, out: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(EXAMPLES / script), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def statuses(table: str) -> dict[str, str]:
    rows = [line.split() for line in table.splitlines() if line.strip()]
    assert rows[0] == ["input", "status", "seconds"]
    return {row[0]: row[1] for row in rows[1:]}


def test_a_mixed_folder_gives_a_table_and_code_8_and_goes_on_with_what_is_left(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    names = ["ct_phantom.dcm", "ct_phantom.nii.gz", "ct_phantom.tif"]
    first = run("restore_folder.sh", tmp_path, environment)
    assert first.returncode == 8, first.stderr
    assert statuses(first.stdout) == {**dict.fromkeys(names, "done"), "broken.dcm": "failed"}
    out = tmp_path / "folder" / "out"
    assert sorted(path.name for path in out.iterdir()) == names
    made = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    (out / "ct_phantom.tif").unlink()
    del made["ct_phantom.tif"]
    second = run("restore_folder.sh", tmp_path, environment)
    assert second.returncode == 8, second.stderr
    assert statuses(second.stdout) == {
        "ct_phantom.dcm": "skipped",
        "ct_phantom.nii.gz": "skipped",
        "ct_phantom.tif": "done",
        "broken.dcm": "failed",
    }
    assert {name: (out / name).stat().st_mtime_ns for name in made} == made
    assert json.loads((tmp_path / "folder" / "run.json").read_text())["finished"]
