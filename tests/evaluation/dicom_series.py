"""DICOM series made of arrays: CT in HU, PET in Bq/ml, in counts or in SUV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

WEIGHT_KG, DOSE_BQ, HALF_LIFE_S = 70.0, 350e6, 6586.2
# An hour after the injection, to which the activity is corrected: 68.5 % of the dose are left.
BQ_OF_SUV = DOSE_BQ * 0.5 ** (3600.0 / HALF_LIFE_S) / (1000.0 * WEIGHT_KG)
COUNTS_OF_SUV = 800.0
VALUE_OF_SUV = {"BQML": BQ_OF_SUV, "CNTS": COUNTS_OF_SUV, "PROPCNTS": COUNTS_OF_SUV, "GML": 1.0}
# Stored values for each SUV: as many as 16 bits hold well.
STEPS = 1000.0


def write_ct(folder: Path, volume: np.ndarray) -> Path:
    """Write planes `(D, H, W)` in HU as a CT series."""
    images = [_image("ct", plane) for plane in range(len(volume))]
    for image, values in zip(images, volume, strict=True):
        image.SOPClassUID, image.Modality, image.RescaleType = CTImageStorage, "CT", "HU"
        _put_pixels(image, np.rint(values), 1.0)
    return _save(folder, images)


def write_pet(folder: Path, volume: np.ndarray, units: str = "BQML") -> Path:
    """Write planes `(D, H, W)` in SUV as a PET series in Bq/ml, counts (CNTS) or g/ml (GML)."""
    images = [_image(f"pet {units}", plane) for plane in range(len(volume))]
    for image, values in zip(images, volume, strict=True):
        _put_tracer(image, units)
        _put_pixels(image, np.rint(values * STEPS), VALUE_OF_SUV[units] / STEPS)
    return _save(folder, images)


def _image(series: str, plane: int) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(plane)])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=[series])
    image.StudyInstanceUID = generate_uid(entropy_srcs=["study", series])
    image.InstanceNumber = plane + 1
    image.ImagePositionPatient = [0, 0, 4.0 * plane]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [4.0, 4.0], 4.0
    return image


def _put_tracer(image: Dataset, units: str) -> None:
    image.SOPClassUID = PositronEmissionTomographyImageStorage
    image.Modality, image.Units = "PT", units
    image.SeriesDate = image.AcquisitionDate = "20250101"
    image.SeriesTime, image.AcquisitionTime = "110000", "110000"
    image.CorrectedImage, image.DecayCorrection = ["ATTN", "DECY"], "START"
    image.PatientWeight = WEIGHT_KG
    given = Dataset()
    given.RadionuclideTotalDose, given.RadionuclideHalfLife = DOSE_BQ, HALF_LIFE_S
    given.RadiopharmaceuticalStartTime = "100000"
    image.RadiopharmaceuticalInformationSequence = [given]
    if units == "CNTS":
        block = image.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", f"{1.0 / COUNTS_OF_SUV:.10g}")


def _put_pixels(image: Dataset, stored: np.ndarray, slope: float) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = stored.shape
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = 1
    image.RescaleIntercept, image.RescaleSlope = 0, f"{slope:.10g}"
    image.PixelData = stored.astype("<i2").tobytes()


def _save(folder: Path, images: list[Dataset]) -> Path:
    folder.mkdir(parents=True)
    for plane, image in enumerate(images):
        image.save_as(folder / f"{plane}.dcm", enforce_file_format=True)
    return folder
