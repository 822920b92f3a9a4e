"""Make the example scans: a procedural abdomen at a quarter of the dose, in every format.

Usage: python examples/make_examples.py [FOLDER]

Nobody was scanned: the anatomy is generated from a seed, and the noise is simulated. The same seed
gives the same files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import tifffile
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ratcli.physics.anatomy.ct import ct_slice
from ratcli.physics.ct import blur_with_kernel, low_dose_noise
from ratcli.physics.ct_dose import MEDIUM_SMOOTH, CtDose

SEED = 11
SIZE = 256
SPACING_MM = 1.4
THICKNESS_MM = 3.0
SLICES = 4
NOISE_HU = 28.0
INTERCEPT = -1024

HuArray = npt.NDArray[np.int16]


def make_planes() -> tuple[HuArray, HuArray]:
    """Return the noise-free plane `(H, W)` and `SLICES` noisy ones `(N, H, W)`, in HU."""
    drawn, _ = ct_slice(np.random.default_rng(SEED), SIZE, SPACING_MM, "abdomen")
    clean = blur_with_kernel(torch.from_numpy(drawn), SPACING_MM, MEDIUM_SMOOTH)
    dose = CtDose(noise_hu=NOISE_HU, kernel=MEDIUM_SMOOTH)
    generator = torch.Generator().manual_seed(SEED)
    noise = low_dose_noise(clean.expand(SLICES, -1, -1), SPACING_MM, dose, generator)
    return _rounded(clean), _rounded(clean + noise)


def _rounded(hu: torch.Tensor) -> HuArray:
    return hu.clamp(-1024, 3071).round().numpy().astype(np.int16)


def make_dicom(hu: HuArray, series: str, number: int) -> Dataset:
    """Return a CT image that DICOM's validators accept; identifiers come from the names alone."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = _uid(series, str(number))
    _describe_study(image, series)
    _describe_acquisition(image)
    image.InstanceNumber = number
    image.AcquisitionNumber = 1
    image.ImagePositionPatient = [-SPACING_MM * SIZE / 2, -SPACING_MM * SIZE / 2, number * 3.0]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.SliceLocation = number * THICKNESS_MM
    _put_pixels(image, hu)
    return image


def _describe_study(image: Dataset, series: str) -> None:
    image.PatientName = "Phantom^Procedural"
    image.PatientID = "RAT-EXAMPLE"
    image.PatientBirthDate = ""
    image.PatientSex = "O"
    image.StudyInstanceUID = _uid("study")
    image.StudyDate = image.SeriesDate = image.ContentDate = image.AcquisitionDate = "20250101"
    image.StudyTime = image.SeriesTime = image.ContentTime = image.AcquisitionTime = "120000"
    image.StudyID = "1"
    image.AccessionNumber = ""
    image.ReferringPhysicianName = ""
    image.StudyDescription = "Simulated abdomen"
    image.Modality = "CT"
    image.SeriesInstanceUID = _uid(series)
    image.SeriesNumber = {"slice": 1, "series": 2, "reference": 3}[series]
    image.SeriesDescription = "Full dose, no noise" if series == "reference" else "Quarter dose"
    image.FrameOfReferenceUID = _uid("frame")
    image.PositionReferenceIndicator = ""
    image.PatientPosition = "HFS"
    image.BodyPartExamined = "ABDOMEN"


def _describe_acquisition(image: Dataset) -> None:
    image.Manufacturer = "rat"
    image.ManufacturerModelName = "procedural anatomy"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.KVP = "120"
    image.ConvolutionKernel = "MEDIUM SMOOTH"
    image.SliceThickness = THICKNESS_MM
    image.BurnedInAnnotation = "NO"


def _put_pixels(image: Dataset, hu: HuArray) -> None:
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = hu.shape
    image.PixelSpacing = [SPACING_MM, SPACING_MM]
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = INTERCEPT, 1, "HU"
    image.WindowCenter, image.WindowWidth = 40, 400
    image.PixelData = (hu - INTERCEPT).astype("<u2").tobytes()


def _uid(*names: str) -> str:
    return str(generate_uid(entropy_srcs=["rat example", *names]))


def save_nifti(path: Path, hu: HuArray) -> None:
    """Write planes `(N, H, W)` as a volume in RAS order, its affine that of the DICOM series."""
    affine = np.diag([-SPACING_MM, -SPACING_MM, THICKNESS_MM, 1.0])
    affine[:3, 3] = [SPACING_MM * SIZE / 2, SPACING_MM * SIZE / 2, 0]
    volume = nibabel.Nifti1Image(hu.transpose(2, 1, 0), affine)
    volume.header.set_xyzt_units("mm")
    nibabel.save(volume, path)


def main(folder: Path) -> None:
    """Write all examples into a folder."""
    clean, noisy = make_planes()
    (folder / "ct_series").mkdir(parents=True, exist_ok=True)
    save = {"enforce_file_format": True}
    make_dicom(noisy[0], "slice", 1).save_as(folder / "ct_phantom.dcm", **save)
    make_dicom(clean, "reference", 1).save_as(folder / "ct_phantom_reference.dcm", **save)
    for number, hu in enumerate(noisy, start=1):
        name = f"slice_{number:02}.dcm"
        make_dicom(hu, "series", number).save_as(folder / "ct_series" / name, **save)
    save_nifti(folder / "ct_phantom.nii.gz", noisy[:3])
    resolution = (10 / SPACING_MM, 10 / SPACING_MM)
    tifffile.imwrite(
        folder / "ct_phantom.tif",
        noisy[0],
        compression="adobe_deflate",
        predictor=True,
        resolution=resolution,
        resolutionunit="CENTIMETER",
        metadata=None,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
