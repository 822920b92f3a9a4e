"""`ratcli.evaluate` and `rat evaluate` give the same figures for the same files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from alike import alike
from dicom_series import write_ct, write_pet

import ratcli
from ratcli.cli.app import main
from ratcli.evaluation.export import as_dict

SIDE, PLANES = 64, 3


def _volume(noise: float) -> np.ndarray:
    """Planes, rows, columns: a square body of two parts."""
    body = np.zeros((PLANES, SIDE, SIDE))
    body[:, 8:-8, 8:-8] = 2.0
    body[:, 20:36, 20:36] = 5.0
    return body + noise * np.random.default_rng(0).normal(size=body.shape) * (body > 0)


def _nifti(path: Path, volume: np.ndarray) -> Path:
    path = path.with_suffix(".nii.gz")
    image = nibabel.Nifti1Image(volume.T.astype(np.float32), np.diag([-0.8, -0.8, 3.0, 1.0]))
    nibabel.save(image, path)
    return path


def _tiff(path: Path, volume: np.ndarray) -> Path:
    path = path.with_suffix(".tif")
    tifffile.imwrite(path, volume.astype(np.float32), photometric="minisblack")
    return path


def _scaled(write: Callable[[Path, np.ndarray], Path], scale: float, shift: float = 0.0):  # type: ignore[no-untyped-def]
    return lambda path, volume: write(path, scale * volume + shift)


FORMATS = {
    "DICOM CT": (_scaled(write_ct, 40.0, -80.0), None, "HU"),
    "DICOM PET in Bq/ml": (write_pet, None, "SUV"),
    "NIfTI": (_scaled(_nifti, 40.0, -80.0), "HU", "HU"),
    "TIFF": (_scaled(_tiff, 40.0, -80.0), "HU", "HU"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_both_give_the_same_figures(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, given, measured = FORMATS[name]
    scans = {
        part: str(write(tmp_path / part, _volume(noise)))
        for part, noise in {"restored": 0.05, "reference": 0.0, "input": 0.2}.items()
    }
    found = as_dict(ratcli.evaluate(**scans, unit=given))
    words = [scans["restored"], "--reference", scans["reference"], "--input", scans["input"]]
    words += ["--unit", given] if given else []
    assert main(["evaluate", *words, "--json", "-q"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["unit"] == measured
    assert printed["fidelity"]
    assert alike(json.loads(json.dumps(found)), {name: printed[name] for name in found})


def test_a_list_of_scans_is_a_batch_from_python_too(tmp_path: Path) -> None:
    for part, noise in {"out": 0.05, "full": 0.0}.items():
        (tmp_path / part).mkdir()
        for name in ("a", "b"):
            _nifti(tmp_path / part / name, 40.0 * _volume(noise) - 80.0)
    table = tmp_path / "all.csv"
    measured = ratcli.evaluate(
        [tmp_path / "out"], reference=tmp_path / "full", unit="HU", window="ct-soft", csv=table
    )
    assert [one.name for one in measured] == ["a", "b"]
    assert {row.fidelity.window.name for row in measured[0].found.pooled} == {"ct-soft"}
    assert table.exists()


def test_one_scan_takes_no_option_for_many(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="one scan does not take these options: csv"):
        ratcli.evaluate(tmp_path / "scan.nii.gz", csv=tmp_path / "all.csv")


def test_the_factor_that_a_user_gives_goes_before_that_of_the_header(tmp_path: Path) -> None:
    from ratcli.evaluation.window import measured_unit
    from ratcli.formats import open_scan

    scan = write_pet(tmp_path / "pet", _volume(0.0))
    with open_scan(scan) as reader:
        in_header = measured_unit(reader)
        assert in_header.unit == "SUV"
    with open_scan(scan, suv_factor=2.0 * in_header.factor) as reader:
        assert measured_unit(reader) == ("SUV", 2.0 * in_header.factor)
