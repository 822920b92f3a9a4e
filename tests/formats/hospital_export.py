"""A folder as a hospital's archive exports a study: images, and all that lies beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from tests.formats.dicom_scans import (
    dicom_dataset,
    pet_dataset,
    rgb_dataset,
    save_dicom,
    save_directory,
    set_elements,
    uid,
)

_CLASSES = "1.2.840.10008.5.1.4.1.1."
_REPORTS = {"SR": "88.67", "RTSTRUCT": "481.3", "KO": "88.59", "PR": "11.1"}
_SIDE = 32


def save_export(folder: Path) -> Path:
    """Write a scout, two CT series, a PET series, and what is no scan.

    The dose report is there twice: as a structured report, and as the capture of a screen.
    """
    scans = [_scout(), *(_slice(series, n) for series in (2, 3) for n in range(3))]
    scans += [_pet(n) for n in range(2)]
    no_scans = [_capture(), _segmentation(), *map(_report, _REPORTS)]
    listed = []
    for number, dataset in enumerate([*scans, *no_scans]):
        parts = ["DICOM", f"SE{int(dataset.SeriesNumber):02}", f"IM{number:03}"]
        save_dicom(dataset, folder.joinpath(*parts))
        if "PixelData" in dataset:
            listed.append(parts)
    save_directory(folder, listed)
    (folder / "README.TXT").write_text("Double-click VIEWER.EXE to see the images.")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "DICOM" / "._SE02").write_bytes(b"\0\5\x16\7")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    return folder


def _hu(seed: int) -> np.ndarray:
    """Return a bright square in air, stored with the intercept of `dicom_dataset`."""
    plane = np.random.default_rng(seed).normal(24, 10, (_SIDE, _SIDE))
    plane[8:24, 8:24] += 1040
    return plane.round()


def _named(dataset: Dataset, series: int, number: int) -> Dataset:
    set_elements(
        dataset,
        SOPInstanceUID=uid("export", series, number),
        SeriesInstanceUID=uid("export", series),
        SeriesNumber=series,
        InstanceNumber=number + 1,
        PixelSpacing=["2", "2"],
        ImagePositionPatient=["0", "0", str(3 * number)],
    )
    return dataset


def _slice(series: int, number: int) -> Dataset:
    return _named(dicom_dataset(_hu(number)), series, number)


def _scout() -> Dataset:
    dataset = _named(dicom_dataset(_hu(9)), 1, 0)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.ImageOrientationPatient = ["0", "1", "0", "0", "0", "-1"]
    return dataset


def _pet(number: int) -> Dataset:
    counts = np.random.default_rng(number).poisson(2000, (_SIDE, _SIDE))
    return _named(pet_dataset(counts), 4, number)


def _capture() -> Dataset:
    """Return a page of a dose report, as scanners draw it."""
    page = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    page[4:6, 4:20] = 255
    dataset = _named(rgb_dataset(page, 8, 0), 501, 0)
    set_elements(dataset, Modality="CT", RescaleIntercept=None, RescaleSlope=None)
    return dataset


def _segmentation() -> Dataset:
    dataset = _named(dicom_dataset(np.zeros((_SIDE, _SIDE))), 601, 0)
    bits = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelRepresentation": 0}
    set_elements(dataset, Modality="SEG", SOPClassUID=_CLASSES + "66.4", **bits)
    dataset.PixelData = bytes(_SIDE * _SIDE // 8)
    return dataset


def _report(modality: str) -> Dataset:
    """Return an object without pixels."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = _CLASSES + _REPORTS[modality], uid(modality)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study"), uid("export", modality)
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = modality, 701, 1
    dataset.PatientID = "SECRET-77"
    return dataset
