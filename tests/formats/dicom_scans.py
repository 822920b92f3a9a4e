"""Small DICOM images made by arithmetic, and ways to write and validate them."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from ratcli.formats import ScanSource, create_scan, find_scans, open_scan
from ratcli.formats.dicom.codec import JPEG_LOSSLESS, encode
from ratcli.formats.dicom.elements import quiet_pydicom
from ratcli.formats.dicom.layout import read_layout
from ratcli.formats.dicom.reader import DicomReader
from ratcli.scan import Derivation

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
CT = "1.2.840.10008.5.1.4.1.1.2"
NATIVE = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
]
COMPRESSED = [RLELossless, JPEGLSLossless, JPEG2000Lossless, *JPEG_LOSSLESS]


def uid(*parts: object) -> str:
    return str(generate_uid(entropy_srcs=[str(parts)]))


def ramp(rows: int = 16, columns: int = 20, *, low: int = -1000, high: int = 1500) -> np.ndarray:
    """Return every value from low to high, spread over a plane."""
    return np.linspace(low, high, rows * columns).round().astype(np.int32).reshape(rows, columns)


def dicom_dataset(stored: np.ndarray, **changes: object) -> Dataset:
    """Return a valid CT slice that stores signed 16-bit values with intercept -1024.

    Args:
        stored: `(H, W)`.
        changes: elements to set; None deletes one.
    """
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT, uid("image", 1)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
    ds.FrameOfReferenceUID = uid("frame of reference")
    ds.Modality, ds.Manufacturer = "CT", "Phantom Works"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName, ds.PatientID = "Doe^Jane", "SECRET-77"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "F"
    ds.StudyDate, ds.StudyTime, ds.ReferringPhysicianName = "20200101", "120000", ""
    ds.StudyID, ds.AccessionNumber = "1", ""
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 3, 1, 1
    ds.SeriesDescription = "THORAX"
    ds.PatientPosition, ds.PositionReferenceIndicator = "HFS", ""
    ds.KVP, ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "120", "-1024", "1", "HU"
    ds.ConvolutionKernel = "B30f"
    ds.PixelSpacing, ds.SliceThickness = ["0.7", "0.5"], "2.5"
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.ImagePositionPatient = ["-10", "-20", "5"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    set_elements(ds, **changes)
    dtype = f"<{'i' if ds.PixelRepresentation else 'u'}{ds.BitsAllocated // 8}"
    data = np.ascontiguousarray(stored).astype(dtype).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW"
    return ds


def set_elements(ds: Dataset, **changes: object) -> None:
    """Set elements, to values off the standard, too; None deletes one."""
    with quiet_pydicom():
        for keyword, value in changes.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)


def save_dicom(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    path.parent.mkdir(parents=True, exist_ok=True)
    with quiet_pydicom():
        ds.save_as(path, enforce_file_format=bool(ds.SOPInstanceUID))
    return path


def save_series(folder: Path, count: int = 4, *, step: float = 2.5, **changes: object) -> Path:
    """Write a series whose file names run against its positions."""
    for number in range(count):
        ds = dicom_dataset(
            ramp() + number,
            SOPInstanceUID=uid(folder.name, number),
            InstanceNumber=number + 1,
            ImagePositionPatient=["-10", "-20", f"{number * step:g}"],
        )
        set_elements(ds, **changes)
        save_dicom(ds, folder / f"slice{count - number}.dcm")
    return folder


def save_directory(folder: Path, listed: list[list[str]]) -> Path:
    """Write a DICOMDIR that lists files by the parts of their paths."""
    records = []
    for parts in [["ignored"], *listed]:
        record = Dataset()
        record.DirectoryRecordType = "SERIES" if parts == ["ignored"] else "IMAGE"
        set_elements(record, ReferencedFileID=parts)
        records.append(record)
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.file_meta.MediaStorageSOPInstanceUID = uid("directory")
    directory.DirectoryRecordSequence = records
    with quiet_pydicom():
        directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


DERIVATION = Derivation(
    task="ct-denoise",
    description="Denoised with a test network.",
    label="RAT denoised",
    version="1.2.3",
    weights_sha256="ab" * 32,
    settings=("strength=1",),
)


def restore(
    path: Path | ScanSource,
    out: Path,
    change: Callable[[np.ndarray], np.ndarray] = lambda values: values,
    derivation: Derivation = DERIVATION,
) -> Path:
    """Copy a scan through reader and writer, each plane through `change`."""
    with open_scan(path) as reader, create_scan(reader, out, derivation) as writer:
        for plane in range(reader.info.planes):
            writer.write(plane, change(reader.read(plane)))
    return out


def open_dicom(path: Path) -> DicomReader:
    reader = open_scan(find_scans(path)[0])
    assert isinstance(reader, DicomReader)
    return reader


def stored(path: Path) -> np.ndarray:
    """Return the stored values of all planes, `(P, H, W)` for gray and `(P, H, W, 3)` for RGB."""
    reader = open_dicom(path)
    planes = range(reader.info.planes)
    values = np.stack([reader.layout(p).unpack(reader.frame(p).words) for p in planes])
    return values[..., 0] if values.shape[-1] == 1 else values


def require(tool: str) -> str:
    """Return the path of a validator, or skip the test and say why."""
    found = shutil.which(tool, path="/usr/bin") or shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed")
    return found


def validator_errors(path: Path) -> set[str]:
    """Return the errors that dciodvfy reports for a file, without values in brackets."""
    run = subprocess.run(
        [require("dciodvfy"), str(path)], capture_output=True, text=True, errors="replace"
    )
    lines = (run.stdout + run.stderr).splitlines()
    return {line.split("<")[0].strip() for line in lines if line.startswith("Error")}


def shared(*parts: str) -> Path:
    """Return a path among the real scans, or skip the test where they are absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip("the real scans are not on this machine")
    return path


def save_in(dataset: Dataset, path: Path, syntax: UID) -> Path:
    """Save a little-endian data set in another transfer syntax."""
    if syntax.is_compressed or not syntax.is_little_endian:
        layout = dataclasses.replace(read_layout(dataset, path.name, 1 << 20), frames=1)
        shape = (layout.rows, layout.columns, layout.samples)
        words = np.frombuffer(dataset.PixelData, layout.dtype)[: np.prod(shape)].reshape(shape)
        data = encode(words, syntax, layout)
        dataset.PixelData = encapsulate([data]) if syntax.is_compressed else data
        dataset["PixelData"].VR = "OB" if syntax.is_compressed or layout.allocated == 8 else "OW"
        dataset["PixelData"].is_undefined_length = syntax.is_compressed
    return save_dicom(dataset, path, syntax)


def rgb_dataset(values: np.ndarray, allocated: int, planar: int) -> Dataset:
    ordered = np.moveaxis(values, 2, 0) if planar else values
    dataset = dicom_dataset(
        values[..., 0],
        Modality="OT",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=planar,
        BitsAllocated=allocated,
        BitsStored=allocated,
        HighBit=allocated - 1,
        PixelRepresentation=0,
    )
    dataset.PixelData = ordered.astype(f"<u{allocated // 8}").tobytes()
    return dataset


def pet_dataset(values: np.ndarray | None = None, **changes: object) -> Dataset:
    injected = Dataset()
    injected.RadionuclideTotalDose = "400000000"
    injected.RadionuclideHalfLife = "6586.2"
    injected.RadiopharmaceuticalStartTime = "110000"
    dataset = dicom_dataset(
        ramp(low=0, high=32767) if values is None else values,
        Modality="PT",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.128",
        Units="BQML",
        DecayCorrection="START",
        DecayFactor="1.05",
        CorrectedImage=["ATTN", "DECY", "SCAT"],
        RescaleType=None,
        RescaleSlope="0.3",
        RescaleIntercept="0",
        PatientWeight="70",
        SeriesDate="20200101",
        SeriesTime="120000",
        AcquisitionDate="20200101",
        AcquisitionTime="120000",
        FrameReferenceTime="0",
        RadiopharmaceuticalInformationSequence=[injected],
    )
    set_elements(dataset, **changes)
    return dataset
