"""What is unusual about a scan is told once on stderr, in JSON and in the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ratcli.cli.app import main
from tests.formats.dicom_scans import dicom_dataset, open_dicom, save_dicom, set_elements, uid

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
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.err.count(GAP) == 1
    assert f"warning: in: {GAP}" in told.err
    assert json.loads(told.out)["notices"] == [GAP]
    [record] = json.loads(manifest.read_text())["files"]
    assert record["notices"] == [GAP]
    assert main([*command, "--resume"]) == 0


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


def test_a_dry_run_tells_the_notices(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_with_gap(tmp_path / "in")
    assert main(["restore", str(folder), "-t", "ct-denoise", "--dry-run"]) == 0
    assert capsys.readouterr().err.count(GAP) == 1


def test_a_scan_without_anything_unusual_has_no_notice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = save_dicom(dicom_dataset(np.full((48, 48), 40)), tmp_path / "a.dcm")
    assert main(["segment", str(scan), "--json", "--threads", "1"]) == 0
    assert "notices" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer (scout)"),
        ({"LossyImageCompression": "01"}, "compressed with loss"),
    ],
)
def test_localizers_and_lossy_sources_are_told(
    tmp_path: Path, changes: dict[str, object], notice: str
) -> None:
    path = save_dicom(dicom_dataset(np.full((6, 6), 40), **changes), tmp_path / "a.dcm")
    assert notice in open_dicom(path).info.notices[0]
