"""PET in Bq/ml, in counts and in g/ml is evaluated in SUV, whatever the file's units."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_series import write_pet
from pydicom import dcmread
from pydicom.dataset import Dataset

from ratcli.cli.app import main
from ratcli.formats import find_scans, open_scan
from tests.formats.dicom_scans import set_elements

LESION_SUV = 5.0


def changed(**elements: object) -> Callable[[Path], Path]:
    """Return what writes a PET series in Bq/ml with other elements; None deletes one."""

    def write(path: Path) -> Path:
        folder = write_pet(path, np.random.default_rng(0).uniform(1, 5, (3, 24, 24)))
        for file in folder.iterdir():
            dataset = dcmread(file)
            set_elements(dataset, **elements)
            dataset.save_as(file)
        return folder

    return write


def activity(path: Path) -> Path:
    values = np.random.default_rng(0).uniform(5e3, 3e4, (24, 24, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.diag([-4.0, -4.0, 4.0, 1.0])), f"{path}.nii")
    return path.with_suffix(".nii")


ANSWER = "--suv-factor"
NO_FACTOR = {
    "not corrected for attenuation": (
        changed(CorrectedImage=["DECY", "SCAT"]),
        "values are in Bq/ml, but the header says that attenuation was not corrected",
    ),
    "not corrected for decay": (
        changed(DecayCorrection="NONE"),
        "values are in Bq/ml, but the header says that decay was not corrected",
    ),
    "no weight": (
        changed(PatientWeight=None),
        "values are in Bq/ml, but the header has no patient weight",
    ),
    "no dose": (
        changed(RadiopharmaceuticalInformationSequence=[Dataset()]),
        "values are in Bq/ml, but the header has no injected dose",
    ),
    "counts without a factor": (
        changed(Units="CNTS"),
        "the values are counts without a factor from counts to SUV",
    ),
    "proportional counts": (changed(Units="PROPCNTS"), "values are in PROPCNTS"),
    "an activity without a unit": (activity, "nothing says what"),
}


@pytest.mark.parametrize("kind", NO_FACTOR)
def test_pet_without_a_factor_is_refused_as_by_restore(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    write, cause = NO_FACTOR[kind]
    scan = write(tmp_path / "pet")
    restore = ["restore", str(scan), "-t", "pet-synthesis", "--dry-run"]
    evaluate = ["evaluate", str(scan), "--reference", str(scan), "--json"]
    said = {}
    for name, command in (("restore", restore), ("evaluate", evaluate)):
        assert main(command) == 4
        said[name] = capsys.readouterr().err
        assert ANSWER in said[name]
    assert cause in said["restore"]
    if scan.is_dir():
        assert said["evaluate"] == said["restore"]
    assert main([*evaluate, "--suv-factor", "2e-4"]) == 0
    assert json.loads(capsys.readouterr().out)["unit"] == "SUV"


@pytest.mark.parametrize("beside", ["--reference", "--input"])
@pytest.mark.parametrize(
    "kind", ["not corrected for attenuation", "not corrected for decay", "no weight", "no dose"]
)
def test_a_scan_without_a_factor_is_refused_beside_one_that_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, beside: str
) -> None:
    write, cause = NO_FACTOR[kind]
    words = ["evaluate", str(changed()(tmp_path / "ok")), beside, str(write(tmp_path / "other"))]
    for more in ([], ["--window=0,5"], ["--any-values"]):
        assert main([*words, *more]) == 4
        said = capsys.readouterr().err
        assert f"the {beside[2:]}: {cause}" in said
        assert ANSWER in said
    assert main([*words, "--suv-factor", "2e-4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unit"] == "SUV"


def test_counts_are_converted_by_the_factor_of_their_own_scan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = np.random.default_rng(0).uniform(1, 5, (3, 24, 24))
    folder = write_pet(tmp_path / "pet", volume, "CNTS")
    other = tmp_path / "other"
    other.mkdir()
    for file in folder.iterdir():  # twice the counts, half the factor
        dataset = dcmread(file)
        dataset.RescaleSlope *= 2
        dataset[0x7053, 0x1000].value /= 2
        dataset.save_as(other / file.name)
    assert main(["evaluate", str(folder), "--reference", str(other), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)["fidelity"]
    assert all(row["fidelity"]["rmse"] < 1e-5 for row in scored), scored


def test_figures_without_a_factor_say_their_unit_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = changed(CorrectedImage=["DECY", "SCAT"])(tmp_path / "pet")
    assert main(["evaluate", str(scan), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["unit"] == "Bq/ml"
    assert "Measured in Bq/ml: the header says that attenuation was not corrected." in told.err
    assert ANSWER in told.err


@pytest.mark.parametrize("units", ["BQML", "CNTS", "GML"])
def test_uptake_is_given_in_suv(
    units: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = np.ones((6, 24, 24))
    volume[:, 8:16, 8:16] = LESION_SUV
    folder = write_pet(tmp_path / "pet", volume, units)
    regions = tmp_path / "regions.json"
    lesion = {"name": "lesion", "box": [9, 9, 6, 6], "nominal": 8.0}
    regions.write_text(json.dumps({"regions": [lesion]}))
    words = [folder, "--reference", folder, "--input", folder, "--regions", regions, "--json"]
    assert main(["evaluate", *map(str, words)]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["unit"] == "SUV"
    uptake = found["uptake"][0]
    for image in ("restored", "reference", "input"):
        assert uptake[image]["mean"] == pytest.approx(LESION_SUV, rel=1e-3)
        assert uptake[image]["peak"] == pytest.approx(LESION_SUV, rel=1e-3)
    # The region is drawn with a true uptake of 8 SUV, of which 5 are found.
    assert "0.625" in err


@pytest.mark.parametrize("beside", ["--reference", "--input"])
@pytest.mark.parametrize("units", ["BQML", "GML"])
def test_a_nifti_file_takes_its_unit_from_the_scan_that_tells_it(
    beside: str, units: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = np.ones((6, 24, 24))
    volume[:, 8:16, 8:16] = LESION_SUV
    folder = write_pet(tmp_path / "pet", volume, units)
    restored = tmp_path / "restored.nii"
    with open_scan(find_scans(folder)[0]) as reader:
        planes = np.stack([reader.read(plane)[0] for plane in range(6)])
    grid = np.diag([-4.0, -4.0, 4.0, 1.0])
    nib.save(nib.Nifti1Image(planes.transpose(2, 1, 0).astype(np.float32), grid), restored)
    assert main(["evaluate", str(restored), beside, str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unit"] == "SUV"


def test_a_unit_that_the_user_gives_is_not_overruled_by_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pet(tmp_path / "pet", np.ones((2, 24, 24)))
    restored = tmp_path / "restored.nii"
    grid = np.diag([-4.0, -4.0, 4.0, 1.0])
    nib.save(nib.Nifti1Image(np.ones((24, 24, 2), np.float32), grid), restored)
    words = ["evaluate", str(restored), "--reference", str(folder), "--unit", "SUV"]
    assert main(words) == 4
    assert "the reference is in Bq/ml, but the restored scan is in SUV" in capsys.readouterr().err
