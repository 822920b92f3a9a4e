"""Which patient a scan is of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from pydicom import dcmread
from pydicom.data import get_testdata_file

from ratcli.formats import ScanSource, find_scans
from ratcli.formats.patients import patient_of


def _tiff(path: Path) -> ScanSource:
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8))
    return find_scans(path)[0]


@pytest.mark.parametrize(
    ("place", "patient"),
    [
        ("sub-01_ses-2_pet", "sub-01"),
        ("sub-01/ses-2/pet", "sub-01"),
        ("mine/first", "mine"),
        ("mine/second", "mine"),
        ("alone", "alone"),
    ],
)
def test_the_first_name_below_the_folder_is_the_patient(
    place: str, patient: str, tmp_path: Path
) -> None:
    assert patient_of(_tiff(tmp_path / "a.tif"), place) == patient


def test_dicom_scans_with_one_patient_id_are_of_one_patient(tmp_path: Path) -> None:
    image = dcmread(get_testdata_file("CT_small.dcm"))
    found = []
    for name, identity in (("a", "4711"), ("b", "4711"), ("c", "4712"), ("d", "")):
        image.PatientID = identity
        image.save_as(tmp_path / f"{name}.dcm")
        found.append(patient_of(find_scans(tmp_path / f"{name}.dcm")[0], name))
    assert found[0] == found[1] != found[2]
    assert "4711" not in found[0]
    assert found[3] == "d"
