"""PET in Bq/ml, in counts and in g/ml is evaluated in SUV, whatever the file's units."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid

from ratcli.cli import app

WEIGHT_KG, DOSE_BQ, HALF_LIFE_S = 70.0, 350e6, 6586.2
LESION_SUV = 5.0
# An hour after the injection, to which the activity is corrected: 68.5 % of the dose are left.
BQ_OF_SUV = DOSE_BQ * 0.5 ** (3600.0 / HALF_LIFE_S) / (1000.0 * WEIGHT_KG)
COUNTS_OF_SUV = 800.0
# Stored values for each SUV: as many as 16 bits hold well.
STEPS = 1000.0


def _image(plane: int, units: str) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = PositronEmissionTomographyImageStorage
    image.SOPInstanceUID = generate_uid(entropy_srcs=["pet", units, str(plane)])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=["pet", units])
    image.StudyInstanceUID = generate_uid(entropy_srcs=["pet study"])
    image.Modality, image.Units, image.InstanceNumber = "PT", units, plane + 1
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
    _put_pixels(image, plane, {"BQML": BQ_OF_SUV, "CNTS": COUNTS_OF_SUV, "GML": 1.0}[units])
    return image


def _put_pixels(image: Dataset, plane: int, of_suv: float) -> None:
    suv = np.ones((24, 24))
    suv[8:16, 8:16] = LESION_SUV
    image.ImagePositionPatient = [0, 0, 4.0 * plane]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [4.0, 4.0], 4.0
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = suv.shape
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = 1
    image.RescaleIntercept, image.RescaleSlope = 0, f"{of_suv / STEPS:.10g}"
    image.PixelData = np.rint(suv * STEPS).astype("<i2").tobytes()


@pytest.mark.parametrize("units", ["BQML", "CNTS", "GML"])
def test_uptake_is_told_in_suv(
    units: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(app.COMMANDS, "evaluate", "ratcli.cli.evaluate")
    folder = tmp_path / "pet"
    folder.mkdir()
    for plane in range(6):
        _image(plane, units).save_as(folder / f"{plane}.dcm", enforce_file_format=True)
    regions = tmp_path / "regions.json"
    lesion = {"name": "lesion", "box": [9, 9, 6, 6], "nominal": 8.0}
    regions.write_text(json.dumps({"regions": [lesion]}))
    words = [folder, "--reference", folder, "--input", folder, "--regions", regions, "--json"]
    assert app.main(["evaluate", *map(str, words)]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["unit"] == "SUV"
    uptake = found["uptake"][0]
    for image in ("restored", "reference", "input"):
        assert uptake[image]["mean"] == pytest.approx(LESION_SUV, rel=1e-3)
        assert uptake[image]["peak"] == pytest.approx(LESION_SUV, rel=1e-3)
    # Five of the eight that were said to be true.
    assert "0.625" in err
