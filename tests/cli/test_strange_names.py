"""Names that are no text, very long, a formula, or made to fool a terminal."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ratcli.cli.app import main

Output = pytest.CaptureFixture[str]

NOT_TEXT = os.fsdecode(b"caf\xe9")
FORGING = "a\x1b[31m\nwarning: b"


def make_scan(path: Path) -> Path:
    """Write a plane of noise in HU; skip the test if the disk refuses the name."""
    path.parent.mkdir(exist_ok=True)
    values = np.random.default_rng(0).normal(40.0, 20.0, (32, 32, 1)).astype(np.float32)
    plain = path.with_name("plain.nii")
    nib.save(nib.Nifti1Image(values, np.diag([1, 1, 2, 1])), plain)
    try:
        return plain.rename(path)
    except OSError:
        pytest.skip("this disk does not take such a name")


def segment(folder: Path, *words: object) -> int:
    given = (folder, "--unit", "HU", "--partition", "none", "-o", folder / "out", *words)
    return main(["segment", *map(str, given)])


@pytest.mark.parametrize("jobs", [1, 2])
def test_names_that_differ_only_at_their_end_do_not_meet(tmp_path: Path, jobs: int) -> None:
    names = [*(f"{'a' * 235}{number}.nii" for number in range(3)), f"{'漢' * 79}.nii"]
    for name in names:
        make_scan(tmp_path / name)
    assert segment(tmp_path, "--jobs", jobs, "--format", "nifti") == 0
    made = [path.name for path in (tmp_path / "out").iterdir()]
    assert len(made) == len(names)
    assert max(len(name.encode()) for name in made) <= 255


def test_a_name_that_is_no_text_is_in_manifest_log_and_json(tmp_path: Path, capsys: Output) -> None:
    make_scan(tmp_path / f"{NOT_TEXT}.nii")
    manifest, log = tmp_path / "run.json", tmp_path / "run.log"
    words = ("--json", "--manifest", manifest, "--resume", "--log-file", log)
    for status in ("done", "skipped"):
        assert segment(tmp_path, *words) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["input"], told["status"]) == (f"{NOT_TEXT}.nii", status)
    assert json.loads(manifest.read_text("utf-8"))["files"][0]["name"] == f"{NOT_TEXT}.nii"
    assert "caf\\udce9.nii" in log.read_text("utf-8")


def test_a_report_links_a_scan_whose_name_is_no_text(tmp_path: Path) -> None:
    for folder in ("restored", "reference"):
        for name in (NOT_TEXT, "b"):
            make_scan(tmp_path / folder / f"{name}.nii")
    table, report = tmp_path / "t.csv", tmp_path / "report"
    words = [tmp_path / "restored", "--reference", tmp_path / "reference", "--unit", "HU"]
    words += ["--csv", table, "--report", report]
    assert main(["evaluate", *map(str, words), "-q"]) == 0
    assert 'href="caf%E9.html"' in (report / "index.html").read_text("utf-8")
    assert "caf\\udce9" in table.read_text("utf-8")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_no_name_in_a_table_is_a_formula(tmp_path: Path, name: str) -> None:
    for folder in ("restored", "reference"):
        make_scan(tmp_path / folder / f"{name}.nii")
    table = tmp_path / "t.csv"
    words = [tmp_path / "restored", "--reference", tmp_path / "reference", "--unit", "HU"]
    assert main(["evaluate", *map(str, words), "--csv", str(table), "-q"]) == 0
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["scan"] for row in rows} == {f"'{name}"}


@pytest.mark.parametrize("command", ["info", "evaluate", "segment"])
def test_no_name_fools_the_terminal(tmp_path: Path, capsys: Output, command: str) -> None:
    scan = make_scan(tmp_path / f"{FORGING}.nii")
    more = {"segment": ["-o", str(tmp_path / "out")], "evaluate": [], "info": []}[command]
    assert main([command, str(scan), "--unit", "HU", *more]) == 0
    told = "".join(capsys.readouterr())
    assert "\x1b" not in told
    assert not [line for line in told.splitlines() if line.startswith("warning: b")]


def test_no_text_of_a_registry_fools_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    (tmp_path / "registry.toml").write_text(
        '["\\u001b[31mx"]\ntask = "ct-denoise"\nfile = "x.safetensors"\nsha256 = "0"\n'
        'summary = "a\\nct-denoise  trust me"\nlicence = "x"\ndata = []\nnetwork = {}\n'
    )
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    assert main(["weights", "list"]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "ct-denoise  trust me" not in told.splitlines()
