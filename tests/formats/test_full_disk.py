"""A disk without room is named as such, whichever library writes the file."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from ratcli.errors import OutputError, reason_of
from ratcli.formats import create_scan, open_scan
from ratcli.scan import FloatArray, ScanReader
from tests.formats.dicom_scans import DERIVATION, dicom_dataset, ramp, save_dicom
from tests.formats.dicom_slides import picture, slide_dataset

ROOM = 4096


@contextlib.contextmanager
def little_room() -> Iterator[None]:
    """Let no file grow beyond some bytes; writing more fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _dicom(folder: Path, header_bytes: int) -> Path:
    dataset = dicom_dataset(ramp(64, 64))
    dataset.add_new(0x00091001, "OB", bytes(header_bytes))
    return save_dicom(dataset, folder / "a.dcm")


def _slide(folder: Path) -> Path:
    return save_dicom(slide_dataset(picture(96, 96)), folder / "a.dcm")


def _nifti(folder: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 999, (64, 64, 2)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), folder / "a.nii")
    return folder / "a.nii"


def _tiff(folder: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 999, (64, 64)).astype(np.int16)
    tifffile.imwrite(folder / "a.tif", values)
    return folder / "a.tif"


def write(reader: ScanReader, out: Path, planes: list[FloatArray]) -> None:
    with little_room(), create_scan(reader, out, DERIVATION) as writer:
        for plane, values in enumerate(planes):
            writer.write(plane, values)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda folder: _dicom(folder, 2), id="DICOM"),
        pytest.param(lambda folder: _dicom(folder, 1 << 20), id="DICOM with a long header"),
        pytest.param(_slide, id="DICOM slide"),
        pytest.param(_nifti, id="NIfTI"),
        pytest.param(_tiff, id="TIFF"),
    ],
)
def test_the_reason_is_that_of_the_system(tmp_path: Path, make) -> None:
    source = make(tmp_path)
    out = tmp_path / f"out{source.suffix}"
    with open_scan(source) as reader:
        planes = [reader.read(plane) for plane in range(reader.info.planes)]
        with pytest.raises(OutputError, match=r"out.* cannot be written: file too large"):
            write(reader, out, planes)
    assert list(tmp_path.iterdir()) == [source]


def test_a_reason_is_found_in_the_error_that_was_wrapped() -> None:
    def wrapped() -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise OSError(f"{error} with tag (0010,0010)") from None

    with pytest.raises(OSError, match="with tag") as caught:
        wrapped()
    assert reason_of(caught.value) == "no space left on device"
    assert reason_of(OSError("odd")) == "the system does not say why"
