"""Values that no task is for are refused on every way in: files, arrays, each command."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import ratcli
from ratcli.cli.app import main
from ratcli.errors import UnsuitableInputError

DISC = np.hypot(*np.mgrid[-16:16, -16:16]) < 10
COUNTS = np.where(DISC, np.float32(5000), np.float32(0))
BRIGHT = np.where(DISC, np.float32(9000), np.float32(-1000))
WRONG = [("pet-synthesis", COUNTS), ("ct-denoise", BRIGHT)]


@pytest.mark.parametrize(("task", "values"), WRONG)
def test_arrays_are_guarded_like_files(task: str, values: np.ndarray) -> None:
    for function in (ratcli.restore, ratcli.segment, ratcli.find_regions, ratcli.evaluate):
        with pytest.raises(
            UnsuitableInputError, match=r"of the object lies outside|do not look like"
        ):
            function(values, task=task)
    assert ratcli.segment(values, task=task, partition="none", any_values=True).shape == (32, 32)


@pytest.mark.parametrize(("task", "values"), WRONG)
def test_segment_is_guarded_like_restore(tmp_path: Path, capsys, task, values) -> None:
    path, unit = tmp_path / "a.nii", {"pet-synthesis": "SUV", "ct-denoise": "HU"}[task]
    nib.save(nib.Nifti1Image(values[..., None], np.diag([2.0, 2.0, 2.0, 1.0])), path)
    for command in ("restore", "segment", "simulate"):
        assert main([command, str(path), "-t", task, "--unit", unit]) == 4
        assert "of the object lies outside" in capsys.readouterr().err
    assert main(["segment", str(path), "-t", task, "--unit", unit, "--any-values"]) == 0


@pytest.mark.parametrize(("task", "values"), WRONG)
@pytest.mark.parametrize("named", ["restored", "the reference", "the input"])
def test_evaluate_is_guarded_like_restore(tmp_path: Path, capsys, named, task, values) -> None:
    unit = {"pet-synthesis": "SUV", "ct-denoise": "HU"}[task]
    for name, shown in (("wrong.nii", values), ("right.nii", values / 20)):
        image = nib.Nifti1Image(shown[..., None].astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
        nib.save(image, tmp_path / name)
    wrong, right = str(tmp_path / "wrong.nii"), str(tmp_path / "right.nii")
    command = ["evaluate", wrong if named == "restored" else right, "--unit", unit]
    if named != "restored":
        command += [f"--{named.split()[1]}", wrong]
    assert main(command) == 4
    said = capsys.readouterr().err
    assert "of the object lies outside" in said
    assert (f"{named}: " in said) == (named != "restored")
    assert main([*command, "--any-values"]) == 0
