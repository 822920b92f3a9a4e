"""Multi-frame DICOM images made by arithmetic."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from tests.formats.dicom_scans import (
    dicom_dataset,
    ramp,
)

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"
ENHANCED = [
    ("CT", ENHANCED_CT, "HU"),
    ("PT", ENHANCED_PET, "Bq/ml"),
    ("MR", "1.2.840.10008.5.1.4.1.1.4.1", None),
]


def group(**elements: object) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def enhanced_dataset(modality: str, sop_class: str, frames: int = 3) -> Dataset:
    """Return a multi-frame image whose frames lie 2 mm apart and have slopes of their own."""
    planes = np.stack([ramp() + frame for frame in range(frames)])
    dataset = dicom_dataset(planes[0], Modality=modality, SOPClassUID=sop_class)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "PixelSpacing"):
        delattr(dataset, keyword)
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.NumberOfFrames = frames
    dataset.PixelData = planes.astype("<i2").tobytes()
    names = {"CT": "CTImageFrameType", "PT": "PETFrameType", "MR": "MRImageFrameType"}
    shared_groups = group(
        PixelMeasuresSequence=[group(PixelSpacing=["0.7", "0.5"], SliceThickness="2")],
        PlaneOrientationSequence=[group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
    )
    frame_type = group(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    setattr(shared_groups, f"{names[modality]}Sequence", [frame_type])
    dataset.SharedFunctionalGroupsSequence = [shared_groups]
    dataset.PerFrameFunctionalGroupsSequence = [
        frame_groups(modality, frame) for frame in range(frames)
    ]
    return dataset


def frame_groups(modality: str, frame: int) -> Dataset:
    slope, intercept = (f"{0.5 + frame}", "0") if modality == "PT" else ("1", f"{-1024 - frame}")
    kind = "HU" if modality == "CT" else "US"
    measured = group(CodeValue="Bq/ml", CodingSchemeDesignator="UCUM", CodeMeaning="Bq/ml")
    mapping = group(
        RealWorldValueSlope=float(slope),
        RealWorldValueIntercept=0.0,
        MeasurementUnitsCodeSequence=[measured],
    )
    found = group(
        PlanePositionSequence=[group(ImagePositionPatient=[-10, -20, 2 * frame])],
        PixelValueTransformationSequence=[
            group(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType=kind)
        ],
    )
    if modality == "PT":
        found.RealWorldValueMappingSequence = [mapping]
    return found
