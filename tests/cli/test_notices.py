"""What is unusual about a scan is told once on stderr, in JSON and in the manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ratcli.cli.app import main
from tests.formats.dicom_scans import dicom_dataset, open_dicom, save_dicom, set_elements, uid

DRY = {verb: ["-t", "ct-denoise", "--dry-run"] for verb in ("restore", "segment", "simulate")}
DRY["info"] = []
GAP = "1 gap between planes: up to 4.00 mm where 2.00 mm is usual"


def save_with_gap(folder: Path, **changes: object) -> Path:
    """Write a series of 48 x 48 pixels without its third slice."""
    for number in (0, 1, 3, 4):
        values = np.random.default_rng(number).normal(1024, 20, (48, 48))
        dataset = dicom_dataset(values, SOPInstanceUID=uid("gap", number), InstanceNumber=number)
        set_elements(dataset, ImagePositionPatient=["0", "0", str(2 * number)])
        set_elements(dataset, PixelSpacing=["0.7", "0.7"], **changes)
        save_dicom(dataset, folder / f"{number}.dcm")
    return folder


@pytest.mark.parametrize("verb", ["restore", "segment", "simulate"])
def test_a_gap_is_told_once_on_stderr_in_json_and_in_the_manifest(
    tmp_path: Path,
    tiny_weights: Path,
    capsys: pytest.CaptureFixture[str],
    verb: str,
) -> None:
    folder = save_with_gap(tmp_path / "in")
    manifest = tmp_path / "batch.json"
    command = [verb, str(folder), "-t", "ct-denoise", "-o", str(tmp_path / "out"), "--json"]
    command += ["--manifest", str(manifest), "--threads", "1"]
    command += ["--kernel", "medium"] if verb == "simulate" else []
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.err.count(GAP) == 1
    assert f"warning: in: {GAP}" in told.err
    assert json.loads(told.out)["notices"] == [GAP]
    [record] = json.loads(manifest.read_text())["files"]
    assert record["notices"] == [GAP]
    assert main([*command, "--resume"]) == 0


def save_at(folder: Path, places: list[tuple[float, float]], **changes: object) -> Path:
    """Write slices at places `(y, z)` in mm."""
    for number, (down, along) in enumerate(places):
        values = np.random.default_rng(number).normal(1024, 20, (32, 32))
        values[:8] -= 1000  # air
        dataset = dicom_dataset(values, SOPInstanceUID=uid("at", number), InstanceNumber=number)
        set_elements(dataset, ImagePositionPatient=["0", f"{down:g}", f"{along:g}"], **changes)
        set_elements(dataset, PixelSpacing=["0.7", "0.7"])
        save_dicom(dataset, folder / f"{number}.dcm")
    return folder


def save_two_sizes(folder: Path) -> Path:
    save_at(folder, [(0, 0), (0, 2)])
    values = np.random.default_rng(9).normal(1024, 20, (40, 40))
    large = dicom_dataset(values, SOPInstanceUID=uid("large"), PixelSpacing=["0.7", "0.7"])
    return save_dicom(large, folder / "large.dcm").parent


ODD_SERIES = {
    "planes are sheared by 26.6 degrees (gantry tilt)": lambda folder: save_at(
        folder, [(0, 0), (1, 2), (2, 4)]
    ),
    "unevenly spaced: 2.00 to 2.30 mm": lambda folder: save_at(folder, [(0, 0), (0, 2), (0, 4.3)]),
    "1 plane lies at the position of another": lambda folder: save_at(
        folder, [(0, 0), (0, 2), (0, 2)]
    ),
    "the image was compressed with loss before": lambda folder: save_at(
        folder, [(0, 0), (0, 2)], LossyImageCompression="01"
    ),
}


@pytest.mark.parametrize("verb", ["restore", "segment", "simulate", "info"])
@pytest.mark.parametrize("notice", ODD_SERIES)
def test_each_command_tells_what_is_odd_about_a_series_once(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str], verb: str, notice: str
) -> None:
    folder = ODD_SERIES[notice](tmp_path / "in")
    assert main([verb, str(folder), *DRY[verb]]) == 0
    told = capsys.readouterr()
    assert (told.out + told.err).count(notice) == 1


@pytest.mark.parametrize("verb", ["restore", "segment", "simulate", "info"])
def test_each_part_of_a_split_series_tells_that_it_was_split(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    folder = save_two_sizes(tmp_path / "in")
    assert main([verb, str(folder), *DRY[verb]]) == 0
    told = capsys.readouterr()
    split = "the series holds images of 2 sizes or directions, which are restored apart"
    assert (told.out + told.err).count(split) == 2


def test_evaluate_tells_the_notices_of_both_scans_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_with_gap(tmp_path / "restored")
    other = save_with_gap(tmp_path / "reference", LossyImageCompression="01")
    manifest = tmp_path / "batch.json"
    command = ["evaluate", str(folder), "--reference", str(other), "--json"]
    report = tmp_path / "page.html"
    assert main([*command, "--manifest", str(manifest), "--report", str(report)]) == 0
    assert GAP in report.read_text()
    told = capsys.readouterr()
    expected = [GAP, "reference: the image was compressed with loss before"]
    assert [told.err.count(notice) for notice in expected] == [1, 1]
    assert json.loads(told.out.splitlines()[0])["notices"] == expected
    [record] = json.loads(manifest.read_text())["files"]
    assert record["notices"] == expected


def test_reports_tell_what_was_left_out(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_with_gap(tmp_path / "in")
    shutil.copy(folder / "0.dcm", folder / "0 (copy).dcm")
    restored = ["restore", str(folder), "-t", "ct-denoise", "-o", str(tmp_path / "out")]
    assert main([*restored, "--report", str(tmp_path / "a.html"), "--threads", "1"]) == 8
    measured = ["evaluate", str(folder), "--reference", str(folder)]
    assert main([*measured, "--report", str(tmp_path / "b.html")]) == 8
    copy = "0 (copy).dcm is a copy of 0.dcm and was left out"
    assert f"reference: {copy}" in capsys.readouterr().err
    for page, whose in (("a", "input: "), ("b", ""), ("b", "reference: ")):
        assert f"{whose}{copy}" in (tmp_path / f"{page}.html").read_text()


def test_a_dry_run_tells_the_notices(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_with_gap(tmp_path / "in")
    assert main(["restore", str(folder), "-t", "ct-denoise", "--dry-run"]) == 0
    assert capsys.readouterr().err.count(GAP) == 1


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize("verb", ["restore", "segment", "simulate"])
def test_a_scan_that_is_refused_tells_its_notices(
    tmp_path: Path,
    tiny_weights: Path,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    dry: list[str],
) -> None:
    dataset = dicom_dataset(np.full((48, 48), 30000), LossyImageCompression="01")
    scan = save_dicom(dataset, tmp_path / "a.dcm")
    assert main([verb, str(scan), "-t", "ct-denoise", "-o", str(tmp_path / "out"), *dry]) == 4
    told = capsys.readouterr().err
    assert "outside" in told
    assert told.count("compressed with loss before") == 1


def test_a_scan_without_anything_unusual_has_no_notice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = save_dicom(dicom_dataset(np.full((48, 48), 40)), tmp_path / "a.dcm")
    assert main(["segment", str(scan), "--json", "--threads", "1"]) == 0
    assert "notices" not in json.loads(capsys.readouterr().out)


def test_a_lossy_source_is_told(tmp_path: Path) -> None:
    lossy = dicom_dataset(np.full((6, 6), 40), LossyImageCompression="01")
    reader = open_dicom(save_dicom(lossy, tmp_path / "a.dcm"))
    assert "compressed with loss" in reader.info.notices[0]
