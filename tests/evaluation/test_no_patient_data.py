"""What `rat evaluate` writes and prints holds nothing that tells who the patient is."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from ratcli.cli import app

IDENTITY = {
    "PatientName": "Muster^Erika",
    "PatientID": "P-4711",
    "PatientBirthDate": "19640812",
    "AccessionNumber": "ACC-9182",
    "InstitutionName": "Klinikum Beispiel",
    "ReferringPhysicianName": "Hausarzt^Otto",
    "StudyDescription": "Verlauf nach Unfall",
}


def test_no_output_tells_who_the_patient_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, page, table = (tmp_path / name for name in ("scan.dcm", "page.html", "table.csv"))
    image = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    for name, value in IDENTITY.items():
        setattr(image, name, value)
    image.save_as(scan)
    words = [scan, "--reference", scan, "--input", scan, "--report", page, "--csv", table, "--json"]
    assert app.main(["evaluate", *map(str, words)]) == 0
    printed = capsys.readouterr()
    text = "\n".join((page.read_text("utf-8"), table.read_text("utf-8"), *printed))
    told = [*IDENTITY.values(), str(image.StudyInstanceUID), str(image.SOPInstanceUID)]
    parts = [part for value in told for part in value.split("^")]
    assert not [part for part in parts if part in text]
    assert "scan" in printed.out


def test_a_report_tells_how_the_scan_was_acquired_and_when_it_was_made(tmp_path: Path) -> None:
    scan, page = tmp_path / "scan.dcm", tmp_path / "page.html"
    image = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    image.Manufacturer, image.ManufacturerModelName = "Maker", "Model 7"
    image.KVP, image.Exposure, image.SliceThickness = 120, 85, 2.5
    image.ConvolutionKernel, image.CTDIvol = "B30s", 7.25
    image.save_as(scan)
    words = [scan, "--reference", scan, "--report", page]
    assert app.main(["evaluate", *map(str, words)]) == 0
    text = page.read_text("utf-8")
    for fact in (
        "manufacturer Maker", "scanner Model 7", "kernel B30s", "tube voltage (kV) 120",
        "exposure (mAs) 85", "CTDIvol (mGy) 7.25", "slice thickness (mm) 2.5",
    ):  # fmt: skip
        assert fact in text
    assert f"{datetime.now().astimezone():%Y-%m-%d}" in text
