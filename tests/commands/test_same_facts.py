"""`info`, `restore` and `evaluate` agree on unit, factor, refusals and what is left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from ratcli.cli.app import main
from tests.evaluation.dicom_series import BQ_OF_SUV, COUNTS_OF_SUV, write_ct, write_pet

DISC = np.hypot(*np.mgrid[-16:16, -16:16]) < 12
SUV = np.repeat(np.where(DISC, 4.0, 0.1)[None], 3, axis=0)
HU = np.repeat(np.where(DISC, 40.0, -1000.0)[None], 3, axis=0)
COLOURS = np.random.default_rng(0).integers(0, 4096, (32, 32, 3), np.uint16)


def _nifti(volume: np.ndarray) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        image = nib.Nifti1Image(volume.transpose(2, 1, 0).astype(np.float32), np.eye(4))
        nib.save(image, folder / "scan.nii")
        return folder / "scan.nii"

    return write


def _tiff(image: np.ndarray, **options: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        tifffile.imwrite(folder / "scan.tif", image, metadata=None, **options)
        return folder / "scan.tif"

    return write


def _pet(units: str) -> Callable[[Path], Path]:
    return lambda folder: write_pet(folder / "scan", SUV, units)


def _with(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Write a CT series, and change the folder."""

    def write(folder: Path) -> Path:
        series = write_ct(folder / "scan", HU)
        change(series)
        return series

    return write


def _copied(series: Path) -> None:
    shutil.copy(series / "1.dcm", series / "1 (copy).dcm")


def _truncated(series: Path) -> None:
    (series / "1.dcm").write_bytes((series / "1.dcm").read_bytes()[:300])


RGB = {"photometric": "rgb"}
ACTIVITY = f"--suv-factor={1 / BQ_OF_SUV!r}"
PET, CT, SLIDE = "pet-synthesis", "ct-denoise", "pathology-sr"
KINDS = {
    "CT in HU": (CT, _with(lambda series: None), (), "HU"),
    "CT without a unit": (CT, _nifti(HU), ("--unit=HU",), "HU"),
    "CT that looks like HU": (CT, _nifti(HU), (), "HU"),
    "CT in other values": (CT, _nifti(SUV), (), None),
    "PET in Bq/ml": (PET, _pet("BQML"), (), "SUV"),
    "PET in SUV": (PET, _pet("GML"), (), "SUV"),
    "PET in counts with a factor": (PET, _pet("CNTS"), (), "SUV"),
    "PET in units of no task": (PET, _pet("PROPCNTS"), (), None),
    "PET without a unit": (PET, _nifti(SUV), ("--unit=SUV",), "SUV"),
    "activity with a factor": (PET, _nifti(SUV * BQ_OF_SUV), (ACTIVITY,), "SUV"),
    "activity without a factor": (PET, _nifti(SUV * BQ_OF_SUV), (), None),
    "colours of 8 bits": (SLIDE, _tiff((COLOURS >> 4).astype(np.uint8), **RGB), (), "RGB"),
    "colours of 12 bits": (SLIDE, _tiff(COLOURS, **RGB), ("--full-scale=4095",), "RGB"),
    "colours of unknown bits": (SLIDE, _tiff(COLOURS, **RGB), (), None),
    "colours of 0 to 255": (SLIDE, _tiff((COLOURS / 16.0), **RGB), ("--full-scale=255",), "RGB"),
    "floats without a scale": (SLIDE, _tiff(COLOURS / 16.0, **RGB), (), None),
    "a copy of a slice": (CT, _with(_copied), (), "HU"),
    "a slice that cannot be read": (CT, _with(_truncated), (), "HU"),
}


def _said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[dict], str]:
    """Run a command; return its code, its JSON and what it says on standard error."""
    code = main([*map(str, words), "--json"])
    said = capsys.readouterr()
    return code, [json.loads(line) for line in said.out.splitlines() if line[0] == "{"], said.err


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_agree_on_a_scan(tmp_path: Path, capsys, kind: str) -> None:
    task, write, options, unit = KINDS[kind]
    scan = write(tmp_path)
    _, (told, *_), info_err = _said(capsys, "info", scan, *options)
    restored = ("restore", scan, "-t", task, "--partition", "none", "-o", tmp_path / "out")
    code, outcomes, err = _said(capsys, *restored, *options)
    (asked,) = (each for each in told["restore"] if each["task"] == task)
    assert asked["fits"] == (code in (0, 8)), err
    if not asked["fits"]:
        assert asked["text"].split(". ")[0] in err
        return
    measured = ("evaluate", scan, "--input", scan, "--window=0,1")
    evaluate_code, figures, evaluate_err = _said(capsys, *measured, *options)
    assert evaluate_code == code, evaluate_err
    assert figures[0]["unit"] == unit
    if unit == "SUV" and told["unit"] != unit:
        value_of_suv = COUNTS_OF_SUV if told["unit"] == "CNTS" else BQ_OF_SUV
        assert told["suv_factor"] == pytest.approx(1 / value_of_suv, rel=1e-5)
    for outcome in outcomes:
        if outcome.get("exit_code") == 8:
            assert outcome["error"] in str(told["notices"]) + info_err
            assert outcome["error"] in evaluate_err
