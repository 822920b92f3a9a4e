"""DICOM images that no task is for are refused, and the reason is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from ratcli.errors import UnreadableInputError
from ratcli.formats import find_scans, open_scan
from tests.formats.dicom_scans import dicom_dataset, ramp, save_dicom, uid


def with_palette() -> Dataset:
    dataset = dicom_dataset(ramp(low=0, high=255))
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    return dataset


def with_floats(keyword: str, dtype: str) -> Dataset:
    dataset = dicom_dataset(ramp())
    del dataset.PixelData, dataset.HighBit, dataset.BitsStored, dataset.PixelRepresentation
    dataset.BitsAllocated = 8 * np.dtype(dtype).itemsize
    setattr(dataset, keyword, ramp().astype(dtype).tobytes())
    return dataset


def with_32_bits() -> Dataset:
    dataset = dicom_dataset(ramp())
    dataset.PixelData = ramp().astype("<i4").tobytes()
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 32, 32, 31
    return dataset


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (with_palette(), "colours are coded as PALETTE COLOR, but gray, RGB and YBR are read"),
        (with_floats("FloatPixelData", "<f4"), "pixel data are floating point"),
        (with_floats("DoubleFloatPixelData", "<f8"), "pixel data are floating point"),
        (with_32_bits(), "samples have 32 bits, but 8 and 16 are read"),
    ],
    ids=["palette", "float", "double", "32 bits"],
)
def test_what_no_task_is_for_is_refused_with_the_reason(
    tmp_path: Path, dataset: Dataset, reason: str
) -> None:
    path = save_dicom(dataset, tmp_path / "a.dcm")
    with pytest.raises(UnreadableInputError, match=rf"a\.dcm: {reason}"):
        open_scan(path)


def test_a_folder_tells_of_them_and_keeps_the_rest(tmp_path: Path) -> None:
    save_dicom(with_floats("FloatPixelData", "<f4"), tmp_path / "map.dcm")
    other = dicom_dataset(ramp())
    other.SOPInstanceUID, other.InstanceNumber = uid("slice"), 2
    save_dicom(other, tmp_path / "slice.dcm")
    found = {source.name: source.is_broken for source in find_scans(tmp_path)}
    assert found == {"map": True, "slice": False}
