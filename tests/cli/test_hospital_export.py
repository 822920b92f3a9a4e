"""A folder as a hospital exports it: every series by its task, and what is no scan is told once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ratcli.cli.app import main
from ratcli.formats import find_scans, open_scan
from tests.formats.dicom_scans import dicom_dataset, open_dicom, ramp, save_dicom
from tests.formats.hospital_export import save_export

pytestmark = pytest.mark.usefixtures("tiny_weights")
Output = pytest.CaptureFixture[str]

NO_SCANS = "6 DICOM files are no scans and were left out: KO, PR, RTSTRUCT, SEG, SR, screen capture"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return save_export(tmp_path / "study")


def run(verb: str, *words: object) -> int:
    return main([verb, *map(str, words), "--threads", "1"])


def tasks_of(folder: Path) -> dict[str, str]:
    """Return the series description of each restored scan, which names its task."""
    found = {}
    for source in find_scans(folder, recursive=True):
        with open_scan(source) as reader:
            header = open_dicom(source.paths[0]).sources[0].file.dataset
            found[source.paths[0].parent.name] = f"{header.SeriesDescription}, {reader.info.planes}"
    return found


def test_each_series_is_restored_by_its_task_and_the_rest_is_told_once(
    study: Path, capsys: Output
) -> None:
    before = sorted(study.rglob("*"))
    out = study.parent / "out"
    assert run("restore", study, "-r", "-o", out) == 0
    assert sorted(study.rglob("*")) == before
    denoised, standard = "THORAX; RAT denoised", "THORAX; RAT standard dose"
    assert tasks_of(out) == {
        "SE02": f"{denoised}, 3",
        "SE03": f"{denoised}, 3",
        "SE04": f"{standard}, 2",
    }
    told = capsys.readouterr().err
    assert told.count(NO_SCANS) == 1
    assert "DICOM/SE02 -> out/DICOM/SE02 (ct-denoise (CT, HU), 3 planes" in told
    assert "DICOM/SE04 -> out/DICOM/SE04 (pet-synthesis (PT, Bq/ml), 2 planes" in told
    assert "3 done, 0 skipped, 0 failed, 2 left out" in told
    assert "README" not in told


def test_of_a_named_task_the_other_modalities_are_left_out(study: Path, capsys: Output) -> None:
    out = study.parent / "out"
    assert run("restore", study, "-t", "ct-denoise", "-r", "-o", out) == 0
    assert sorted(tasks_of(out)) == ["SE02", "SE03"]
    told = capsys.readouterr().err
    assert told.count("DICOM/SE04 was left out: modality is PT, but ct-denoise restores CT") == 1
    assert told.count(NO_SCANS) == 1


@pytest.mark.parametrize("verb", ["simulate", "segment"])
def test_other_commands_leave_out_the_same(study: Path, capsys: Output, verb: str) -> None:
    out = study.parent / "out"
    assert run(verb, study, "-t", "pet-synthesis", "-r", "-o", out) == 0
    told = capsys.readouterr().err
    assert told.count("was left out: modality is CT, but pet-synthesis restores PET") == 2
    assert told.count(NO_SCANS) == 1
    assert [path.name for path in (out / "DICOM").iterdir()] == [
        "SE04" if verb == "simulate" else "SE04_regions.dcm"
    ]


def test_outputs_beside_the_inputs_are_known_again(study: Path, capsys: Output) -> None:
    assert run("restore", study, "-r") == 0
    written = sorted(study.rglob("*"))
    assert run("restore", study, "-r", "--if-exists", "skip") == 0
    assert sorted(study.rglob("*")) == written
    told = capsys.readouterr().err
    assert "0 done, 3 skipped, 0 failed, 3 left out" in told
    assert told.count("and 2 more are results of rat") == 1


def test_a_batch_of_several_tasks_is_resumed_and_has_reports(study: Path, capsys: Output) -> None:
    out, manifest = study.parent / "out", study.parent / "run.json"
    words = (study, "-r", "-o", out, "--manifest", manifest, "--report", study.parent / "pages")
    assert run("restore", *words) == 0
    settings = json.loads(manifest.read_text())["settings"]
    assert settings["task"] is None
    assert settings["pet-synthesis"]["weights"] == "pet-synthesis"
    assert len(list((study.parent / "pages").glob("*.html"))) == 4
    assert run("restore", *words, "--resume", "--if-exists", "skip") == 0
    assert "0 done, 3 skipped, 0 failed" in capsys.readouterr().err


def test_the_task_is_found_for_one_scan_and_told(tmp_path: Path, capsys: Output) -> None:
    scan = save_dicom(dicom_dataset(ramp(32, 32)), tmp_path / "scan.dcm")
    assert run("restore", scan, "--dry-run") == 0
    planned = "scan.dcm -> scan_ct-denoise.dcm (ct-denoise (CT, HU))\n"
    assert capsys.readouterr().out == planned
    assert run("restore", scan, "--json") == 0
    assert json.loads(capsys.readouterr().out)["task"] == "ct-denoise (CT, HU)"
    assert (tmp_path / "scan_ct-denoise.dcm").exists()


def test_a_scan_that_does_not_tell_its_task_gives_a_question(
    tmp_path: Path, capsys: Output
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.linspace(0, 90, 1024, dtype=np.float32).reshape(32, 32))
    assert run("restore", tmp_path / "a.tif") == 2
    told = capsys.readouterr().err
    assert told == (
        "rat: a.tif: the file does not tell which task fits. "
        "Is it for pet-synthesis? Then name the task with --task.\n"
    )


def test_weights_imply_their_task_and_a_named_task_wins(tmp_path: Path, capsys: Output) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.linspace(0, 90, 1024, dtype=np.float32).reshape(32, 32))
    assert run("restore", tmp_path / "a.tif", "--weights", "pet-synthesis") == 0
    assert (tmp_path / "a_pet-synthesis.tif").exists()
    words = ("--weights", "ct-denoise", "--task", "pet-synthesis", "--if-exists", "overwrite")
    assert run("restore", tmp_path / "a.tif", *words) == 7
    assert "are for ct-denoise, not pet-synthesis" in capsys.readouterr().err


def test_a_residual_is_refused_only_where_a_scan_gets_a_finer_grid(
    tmp_path: Path, capsys: Output
) -> None:
    scan = save_dicom(dicom_dataset(ramp(32, 32)), tmp_path / "scan.dcm")
    assert run("restore", scan, "--save-residual") == 0
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((32, 32, 3), np.uint8), photometric="rgb")
    assert run("restore", tmp_path / "a.tif", "--save-residual") == 2
    assert "pathology-sr changes the grid" in capsys.readouterr().err
