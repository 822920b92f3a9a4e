"""What `rat segment` writes beside its region maps is planned and claimed like they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from ratcli.batch.claim import claim_path
from ratcli.cli.app import main

Output = pytest.CaptureFixture[str]


def write_tiff(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.linspace(-900, 900, 48 * 40, dtype=np.float32).reshape(48, 40))
    return path


def segment(*words: object) -> int:
    return main(["segment", *map(str, words), "--unit", "HU", "--threads", "1", "-q"])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_tables_of_two_scans_never_meet(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_tiff(folder / "a.tif")
    write_tiff(folder / "a.tiff")
    words = (folder, "-o", tmp_path / "out", "--table")
    assert segment(*words) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a_2_regions.csv", "a_2_regions.tif", "a_regions.csv", "a_regions.tif"]


def test_a_picture_that_is_there_stops_the_run_before_it_begins(
    tmp_path: Path, capsys: Output
) -> None:
    scan = write_tiff(tmp_path / "a.tif")
    (tmp_path / "a_regions_preview.png").write_text("mine")
    assert segment(scan, "--preview") == 5
    assert "already exists" in capsys.readouterr().err
    assert names(tmp_path) == ["a.tif", "a_regions_preview.png"]


def test_what_a_kill_left_of_a_picture_is_removed(tmp_path: Path) -> None:
    scan = write_tiff(tmp_path / "a.tif")
    claim_path(tmp_path / "a_regions_preview.png").touch()
    (tmp_path / ".a_regions_preview.png.01234567.rat-partial").write_text("half")
    assert segment(scan, "--preview", "--table") == 0
    assert names(tmp_path) == [
        "a.tif",
        "a_regions.csv",
        "a_regions.tif",
        "a_regions_preview.png",
    ]


def test_a_second_call_finds_only_the_regions_that_are_left(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tiff(tmp_path / "in" / f"{name}.tif")
    out = tmp_path / "out"
    words = (tmp_path / "in", "-o", out, "--table", "--manifest", tmp_path / "run.json", "--resume")
    assert segment(*words) == 0
    made = (out / "a_regions.tif").stat().st_mtime_ns
    (out / "b_regions.tif").unlink()
    (out / "b_regions.csv").unlink()
    assert segment(*words) == 0
    assert (out / "a_regions.tif").stat().st_mtime_ns == made
    assert names(out) == ["a_regions.csv", "a_regions.tif", "b_regions.csv", "b_regions.tif"]
    assert segment(*words, "--propagate") == 2
