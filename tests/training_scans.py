"""Small scans to learn from, made by arithmetic, and a network that learns in milliseconds."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ratcli.network.rat import NetworkSettings
from ratcli.training.recipe import Recipe, recipe_text

TINY = NetworkSettings(
    width=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, window=4
)
RECIPE = Recipe(
    task="ct-denoise",
    network=TINY,
    seed=7,
    steps=4,
    batch=2,
    patch=32,
    late_steps=1,
    late_batch=1,
    late_patch=48,
    warmup=2,
    learning_rate=2e-3,
    pool=3,
    validate=2,
    procedural=0.0,
    precision="fp32",
)
CT = "1.2.840.10008.5.1.4.1.1.2"


def body(side: int = 48, radius: float = 15, planes: int = 2) -> np.ndarray:
    """Return a disc of soft tissue with a denser one in it, `(planes, side, side)` in HU."""
    rows, columns = np.mgrid[:side, :side] - side / 2
    hu = np.where(rows**2 + columns**2 < radius**2, 40, -1000)
    hu[(rows - 5) ** 2 + columns**2 < (radius / 3) ** 2] = 110
    return np.stack([np.roll(hu, plane, 0) for plane in range(planes)])


def noisy(hu: np.ndarray, seed: int = 0) -> np.ndarray:
    return hu + np.random.default_rng(seed).normal(0, 40, hu.shape).round()


def write_nifti(path: Path, planes: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = np.moveaxis(planes, 0, -1).astype(np.int16)
    nib.save(nib.Nifti1Image(volume, np.diag([2.0, 2.0, 3.0, 1.0])), path)


def write_series(folder: Path, planes: np.ndarray, patient: str, first_mm: float = 0.0) -> None:
    """Write CT slices 3 mm apart; their file names tell nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    series, study = generate_uid(), generate_uid()
    for number, plane in enumerate(planes):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = CT, generate_uid()
        ds.SeriesInstanceUID, ds.StudyInstanceUID = series, study
        ds.Modality, ds.PatientID, ds.PatientName = "CT", patient, "Doe^Jane"
        ds.PixelSpacing, ds.SliceThickness = ["2", "2"], "3"
        ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        ds.ImagePositionPatient = ["0", "0", str(first_mm + 3 * number)]
        ds.InstanceNumber = number + 1
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = plane.shape
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "HU"
        ds.PixelData = plane.astype(np.int16).tobytes()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(folder / f"{(number * 7) % 10}.dcm", enforce_file_format=True)


def write_pairs(root: Path, patients: int = 3) -> None:
    """Write NIfTI pairs of some patients into `low/` and `full/`."""
    for number in range(patients):
        hu = body(radius=14 + number)
        write_nifti(root / "full" / f"p{number}.nii.gz", hu)
        write_nifti(root / "low" / f"p{number}.nii.gz", noisy(hu, number))


def write_recipe(path: Path, recipe: Recipe = RECIPE) -> Path:
    path.write_text(recipe_text(recipe))
    return path
