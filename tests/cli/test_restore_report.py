"""`rat restore --report`, with weights of random numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from test_cli_restore import cut_example, names, restore

Output = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two scans of the same name in two folders."""
    for place in ("a", "b"):
        (tmp_path / "in" / place).mkdir(parents=True)
        # Identifiers follow the first name.
        cut_example(tmp_path / f"{place}.dcm").rename(tmp_path / "in" / place / "scan.dcm")
    return tmp_path / "in"


def test_a_report_tells_what_was_done_with_which_weights(
    tmp_path: Path, tiny_weights: Path
) -> None:
    scan, page = cut_example(tmp_path / "scan.dcm"), tmp_path / "scan.html"
    words = ("-t", "ct-denoise", "--strength", "0.5", "--uncertainty", "--report", page)
    assert restore(scan, *words) == 0
    text = page.read_text(encoding="utf-8")
    digest = (tiny_weights / "registry.toml").read_text().split('sha256 = "')[1][:64]
    assert f"weights ct-denoise (SHA-256 {digest}), strength 0.5" in text
    assert "views 8" in text
    assert '"uncertainty":' in text
    assert str(tmp_path) not in text
    assert "RAT-EXAMPLE" not in text
    assert "Phantom^Procedural" not in text


def test_a_folder_gets_an_index_and_scans_of_one_name_keep_apart(
    folder: Path, tmp_path: Path
) -> None:
    out, pages = tmp_path / "out", tmp_path / "pages"
    assert restore(folder, "-r", "-t", "ct-denoise", "-o", out, "--report", pages) == 0
    assert names(pages) == ["index.html", "scan-2.html", "scan.html"]
    index = (pages / "index.html").read_text(encoding="utf-8")
    assert 'href="scan.html"' in index
    assert 'href="scan-2.html"' in index


def test_one_file_for_several_scans_is_refused_before_work(
    folder: Path, tmp_path: Path, capsys: Output
) -> None:
    page, out = tmp_path / "page.html", tmp_path / "out"
    assert restore(folder, "-r", "-t", "ct-denoise", "-o", out, "--report", page) == 2
    assert "2 scans make 2 reports" in capsys.readouterr().err
    assert not out.exists()


def test_a_page_that_is_there_is_refused_before_work(tmp_path: Path, capsys: Output) -> None:
    scan, page = cut_example(tmp_path / "scan.dcm"), tmp_path / "scan.html"
    page.write_text("mine")
    assert restore(scan, "-t", "ct-denoise", "--report", page) == 5
    assert "scan.html already exists" in capsys.readouterr().err
    assert page.read_text() == "mine"
    assert not (tmp_path / "scan_ct-denoise.dcm").exists()


def test_the_index_of_a_second_call_has_what_the_first_restored(
    folder: Path, tmp_path: Path
) -> None:
    out, pages = tmp_path / "out", tmp_path / "pages"
    assert restore(folder / "a", "-t", "ct-denoise", "-o", out / "a") == 0
    words = ("-r", "-t", "ct-denoise", "-o", out, "--if-exists", "skip", "--report", pages)
    assert restore(folder, *words) == 0
    assert names(pages) == ["index.html", "scan-2.html", "scan.html"]


def test_a_dry_run_makes_no_report(tmp_path: Path) -> None:
    scan = cut_example(tmp_path / "scan.dcm")
    assert restore(scan, "-t", "ct-denoise", "--dry-run", "--report", tmp_path / "r.html") == 0
    assert names(tmp_path) == ["scan.dcm"]


def test_json_on_stdout_stays_one_object_a_scan(tmp_path: Path, capsys: Output) -> None:
    scan = cut_example(tmp_path / "scan.dcm")
    assert restore(scan, "-t", "ct-denoise", "--json", "--report", tmp_path / "r.html") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "done"


def test_a_slide_is_shown_beside_its_enlarged_input(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(90, 255, (40, 48, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "slide.tif", colours, photometric="rgb")
    page = tmp_path / "slide.html"
    assert restore(tmp_path / "slide.tif", "-t", "pathology-sr", "--report", page) == 0
    text = page.read_text(encoding="utf-8")
    assert '"bicubic":' in text
    assert "160 × 192 pixels" in text
