"""DICOM slides made by arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from tests.formats.dicom_scans import (
    dicom_dataset,
    save_dicom,
    set_elements,
    uid,
)

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


def picture(height: int = 21, width: int = 27) -> np.ndarray:
    """Return an RGB picture in which every pixel differs from its neighbours."""
    numbers = np.arange(height * width * 3) * 7 % 251
    return numbers.reshape(height, width, 3).astype(np.uint8)


def slide_dataset(image: np.ndarray, tile: int = 8, **changes: object) -> Dataset:
    """Return a slide cut into tiles, those at the edge filled up with white."""
    height, width = image.shape[:2]
    down, across = -(-height // tile), -(-width // tile)
    padded = np.full((down * tile, across * tile, 3), 255, np.uint8)
    padded[:height, :width] = image
    tiles = padded.reshape(down, tile, across, tile, 3).transpose(0, 2, 1, 3, 4)
    dataset = dicom_dataset(
        padded[:tile, :tile, 0],
        SOPClassUID=WHOLE_SLIDE,
        Modality="SM",
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        NumberOfFrames=down * across,
        TotalPixelMatrixRows=height,
        TotalPixelMatrixColumns=width,
        DimensionOrganizationType="TILED_FULL",
        ImageOrientationSlide=["0", "-1", "0", "-1", "0", "0"],
        PixelSpacing=None,
    )
    measures, groups, origin = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = ["0.0008", "0.0004"]
    groups.PixelMeasuresSequence = [measures]
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = "10", "20"
    dataset.SharedFunctionalGroupsSequence = [groups]
    dataset.TotalPixelMatrixOriginSequence = [origin]
    set_elements(dataset, **changes)
    data = tiles.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB"
    return dataset


def save_parts(folder: Path, image: np.ndarray, counts: tuple[int, ...] = (5, 4, 3)) -> Path:
    """Write a slide of 8 x 8 tiles as a concatenation, its parts named against their order."""
    tile_bytes, first = 8 * 8 * 3, 0
    for number, count in enumerate(counts, start=1):
        dataset = slide_dataset(
            image,
            SOPInstanceUID=uid("part", number),
            ConcatenationUID=uid("whole"),
            SOPInstanceUIDOfConcatenationSource=uid("source"),
            InConcatenationNumber=number,
            InConcatenationTotalNumber=len(counts),
            ConcatenationFrameOffsetNumber=first,
            NumberOfFrames=count,
        )
        dataset.PixelData = dataset.PixelData[first * tile_bytes : (first + count) * tile_bytes]
        first += count
        save_dicom(dataset, folder / f"{9 - number}.dcm")
    return folder
