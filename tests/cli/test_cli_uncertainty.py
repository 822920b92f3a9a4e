"""`rat restore --views` and `--uncertainty`, with weights of random numbers."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile
from test_cli_restore import cut_example, names, restore

from ratcli.formats import open_scan

Output = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return cut_example(tmp_path / "scan.dcm")


def test_a_dicom_slice_and_its_uncertainty_come_out(scan: Path) -> None:
    assert restore(scan, "-t", "ct-denoise", "--uncertainty") == 0
    assert names(scan.parent) == [
        "scan.dcm", "scan_ct-denoise.dcm", "scan_ct-denoise_uncertainty.dcm",
    ]  # fmt: skip
    result = pydicom.dcmread(scan.parent / "scan_ct-denoise.dcm")
    spread = pydicom.dcmread(scan.parent / "scan_ct-denoise_uncertainty.dcm")
    assert spread.ImageType[3] == "STD_DEVIATION"
    assert spread.SeriesInstanceUID != result.SeriesInstanceUID
    assert "mean of 8 views" in result.DerivationDescription
    with open_scan(scan.parent / "scan_ct-denoise_uncertainty.dcm") as reader:
        deviations = reader.read(0)
        assert reader.info.unit == "HU"
    # Random weights: not whole Hounsfield units, and nowhere below 0.
    assert (deviations >= 0).all()
    assert 0 < float(spread.RescaleSlope) < 0.1
    assert np.unique(deviations).size > 100


def test_the_uncertainty_is_that_of_the_views(tmp_path: Path) -> None:
    """A scan turned by a quarter has the uncertainty of the scan, turned."""
    values = np.random.default_rng(0).normal(0, 100, (48, 40)).astype(np.float32)
    values[0, 0] = -900
    found = []
    for number, image in enumerate((values, np.ascontiguousarray(np.rot90(values)))):
        tifffile.imwrite(tmp_path / f"{number}.tif", image)
        words = ("-t", "ct-denoise", "--unit", "HU", "--partition", "none", "--uncertainty")
        assert restore(tmp_path / f"{number}.tif", *words) == 0
        found.append(tifffile.imread(tmp_path / f"{number}_ct-denoise_uncertainty.tif"))
    assert found[0].dtype == np.float32
    assert found[0].max() > 0
    np.testing.assert_allclose(np.rot90(found[0]), found[1], rtol=1e-3, atol=1e-3)


def test_an_integer_nifti_gets_a_float_uncertainty(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 100, (32, 32, 2)).astype(np.int16)
    values[0, 0] = -900
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii.gz")
    words = ("-t", "ct-denoise", "--unit", "HU", "--partition", "none", "--uncertainty")
    assert restore(tmp_path / "scan.nii.gz", *words, "--save-residual") == 0
    spread = nib.load(tmp_path / "scan_ct-denoise_uncertainty.nii.gz")
    assert spread.get_data_dtype() == np.float32
    assert (tmp_path / "scan_ct-denoise_residual.nii.gz").exists()


def test_eight_views_alone_write_no_uncertainty(scan: Path) -> None:
    assert restore(scan, "-t", "ct-denoise", "--views", 8, "--manifest", scan.parent / "m") == 0
    assert names(scan.parent) == ["m", "scan.dcm", "scan_ct-denoise.dcm"]
    assert json.loads((scan.parent / "m").read_text())["settings"]["views"] == 8


def test_one_view_and_an_uncertainty_contradict(scan: Path, capsys: Output) -> None:
    assert restore(scan, "-t", "ct-denoise", "--views", 1, "--uncertainty") == 2
    assert "an uncertainty needs 8 views, not 1" in capsys.readouterr().err
    assert restore(scan, "-t", "ct-denoise", "--views", 3) == 2
    assert names(scan.parent) == ["scan.dcm"]


def test_a_residual_of_a_finer_grid_is_refused(tmp_path: Path, capsys: Output) -> None:
    tifffile.imwrite(tmp_path / "tile.tif", np.zeros((16, 16, 3), np.uint8), photometric="rgb")
    assert restore(tmp_path / "tile.tif", "-t", "pathology-sr", "--save-residual") == 2
    assert "input minus output cannot be computed" in capsys.readouterr().err


def test_the_uncertainty_of_a_finer_grid_is_on_that_grid(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (16, 20, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "tile.tif", colours, photometric="rgb")
    words = ("-t", "pathology-sr", "--partition", "none", "--uncertainty")
    assert restore(tmp_path / "tile.tif", *words) == 0
    spread = tifffile.imread(tmp_path / "tile_pathology-sr_uncertainty.tif")
    assert spread.shape == (64, 80, 3)
    assert spread.dtype == np.float32
    assert spread.max() > 0
