"""Scans are compared only where their headers place the same pixels."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from ratcli.cli.app import main
from tests.evaluation.dicom_series import write_ct
from tests.formats.dicom_scans import require

VOLUME = np.random.default_rng(1).normal(40, 20, (4, 32, 32)).round() * (
    np.hypot(*np.mgrid[-16:16, -16:16]) < 14
)


def changed(folder: Path, source: Path, change) -> Path:
    """Write a copy of a series with other headers."""
    folder.mkdir()
    for file in sorted(source.iterdir()):
        image = pydicom.dcmread(file)
        change(image)
        image.save_as(folder / file.name)
    return folder


def _shifted(axis: int, mm: float):
    def change(image) -> None:
        place = [float(x) for x in image.ImagePositionPatient]
        place[axis] += mm
        image.ImagePositionPatient = place

    return change


def _turned(image) -> None:
    image.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
    image.ImagePositionPatient[2] *= -1


def nifti(path: Path, affine: np.ndarray, code: int = 1) -> Path:
    image = nib.Nifti1Image(VOLUME.transpose(2, 1, 0).astype(np.int16), affine)
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code)
    nib.save(image, path)
    return path


def compare(restored: Path, reference: Path) -> int:
    return main(
        ["evaluate", str(restored), "--reference", str(reference), "--unit", "HU", "--json"]
    )


@pytest.mark.parametrize(
    "change", [_shifted(0, 2.0), _shifted(1, -30.0), _shifted(2, 8.0), _turned]
)
def test_a_series_at_another_place_is_refused(tmp_path, capsys, change) -> None:
    series = write_ct(tmp_path / "restored", VOLUME)
    assert compare(series, changed(tmp_path / "reference", series, change)) == 4
    assert "not where those of the restored scan are" in capsys.readouterr().err


def test_rounding_of_a_header_is_no_other_place(tmp_path) -> None:
    series = write_ct(tmp_path / "restored", VOLUME)
    assert compare(series, changed(tmp_path / "reference", series, _shifted(0, 0.01))) == 0


@pytest.mark.parametrize("shift", [(4.0, 0, 0), (0, -4.0, 0), (0, 0, 12.0)])
def test_a_nifti_volume_at_another_place_is_refused(tmp_path, shift) -> None:
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    moved = affine.copy()
    moved[:3, 3] = shift
    here = nifti(tmp_path / "here.nii", affine)
    assert compare(here, nifti(tmp_path / "there.nii", moved)) == 4
    assert compare(here, nifti(tmp_path / "unplaced.nii", moved, code=0)) == 0


def test_a_series_agrees_with_what_dcm2niix_makes_of_it(tmp_path, capsys) -> None:
    series = write_ct(tmp_path / "series", VOLUME)
    (tmp_path / "peer").mkdir()
    command = [require("dcm2niix"), "-f", "peer", "-o", tmp_path / "peer", series]
    subprocess.run(command, check=True, capture_output=True)
    assert compare(tmp_path / "peer" / "peer.nii", series) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[0])
    assert {row["fidelity"]["rmse"] for row in found["fidelity"]} == {0.0}
