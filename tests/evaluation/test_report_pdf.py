"""The report as PDF, and inside DICOM."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from arrays import ArrayReader
from pydicom.data import get_testdata_file
from test_report import _scans

from ratcli.cli import app
from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.report import PageFacts, render_pdf

pytest.importorskip("reportlab", reason="reportlab is not installed")


def _pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", pdf))


@pytest.mark.parametrize("title", ["Phantom", "a < b & <b>c"])
def test_a_pdf_has_two_to_four_pages_with_its_fonts(title: str) -> None:
    found = evaluate(Comparison(**_scans()), EvaluationSettings(phantom=True))  # type: ignore[arg-type]
    pdf = render_pdf(found, PageFacts(title, "9.9", {"settings": "strength 1 & <no>"}))
    assert pdf.startswith(b"%PDF")
    assert 2 <= _pages(pdf) <= 4
    assert b"/FontFile2" in pdf


@pytest.mark.parametrize(
    ("unit", "channels", "planes"), [("SUV", 1, 9), ("RGB", 3, 1), ("HU", 1, 1)]
)
def test_a_pdf_can_be_made_of_every_kind_of_scan(unit: str, channels: int, planes: int) -> None:
    values, most = np.random.default_rng(0).uniform(0.2, 0.9, (planes, channels, 40, 24)), 0.8
    values = 200.0 * values if unit == "HU" else values
    restored, reference = (ArrayReader(v, unit, (4.0, 2.0, 1.0)) for v in (most * values, values))
    pdf = render_pdf(evaluate(Comparison(restored, reference)), PageFacts("scan", "9.9"))
    assert _pages(pdf) >= 1
    assert pdf.count(b"/Subtype /Image") == 2


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.dcm"
    shutil.copy(str(get_testdata_file("CT_small.dcm", download=False)), path)
    return path


def test_a_report_in_dicom_belongs_to_the_study_of_the_scan(scan: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.dcm"
    words = ["evaluate", scan, "--reference", scan, "--report", report]
    assert app.main([*map(str, words)]) == 0
    source, made = pydicom.dcmread(scan), pydicom.dcmread(report)
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate"):
        assert made[keyword].value == source[keyword].value
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert made.EncapsulatedDocument.startswith(b"%PDF")
    assert made.MIMETypeOfEncapsulatedDocument == "application/pdf"
    # A second run keeps the first report.
    assert app.main([*map(str, words)]) != 0


def test_a_report_in_dicom_is_valid(scan: Path, tmp_path: Path) -> None:
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dciodvfy is not installed")
    report = tmp_path / "report.dcm"
    assert app.main(["evaluate", str(scan), "--reference", str(scan), "--report", str(report)]) == 0
    done = subprocess.run([dciodvfy, str(report)], capture_output=True, text=True, check=False)
    errors = [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line]
    assert errors == []


def test_a_report_in_dicom_of_another_format_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import nibabel

    scan = tmp_path / "scan.nii.gz"
    values = np.random.default_rng(0).normal(40.0, 20.0, (48, 48, 2)).astype(np.int16) - 900
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0])), scan)
    report = tmp_path / "report.dcm"
    words = ["evaluate", scan, "--reference", scan, "--unit", "HU", "--report", report]
    assert app.main([*map(str, words)]) != 0
    assert "needs a scan in DICOM" in capsys.readouterr().err
    assert not report.exists()
