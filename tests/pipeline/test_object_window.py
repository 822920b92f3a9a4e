"""A scan of which nearly all lies outside the task's window is refused."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ratcli.cli.app import main
from ratcli.errors import UnsuitableInputError
from ratcli.formats import open_scan
from ratcli.pipeline.object_window import refuse_outside_window
from ratcli.pipeline.restore import check
from ratcli.tasks import get_task


def save(path: Path, low: float, high: float) -> Path:
    """Write a bright disc on a dark ground."""
    row, column = np.mgrid[:32, :32] - 16
    plane = np.where(row**2 + column**2 < 100, high, low).astype(np.float32)
    nib.save(nib.Nifti1Image(plane[..., None], np.diag([2.0, 2.0, 2.0, 1.0])), path)
    return path


@pytest.mark.parametrize(
    ("task", "unit", "low", "high"),
    [("pet-synthesis", "SUV", 0, 5000), ("ct-denoise", "HU", -1000, 9000)],
)
def test_an_object_outside_the_window_is_refused_for_every_task(
    tmp_path: Path, task: str, unit: str, low: float, high: float
) -> None:
    path = save(tmp_path / "x.nii", low, high)
    with (
        open_scan(path, assume_unit=unit) as reader,
        pytest.raises(UnsuitableInputError, match="of the object lies outside") as caught,
    ):
        refuse_outside_window(get_task(task), reader)
    assert "--any-values" in caught.value.hint


@pytest.mark.parametrize(
    ("task", "unit", "low", "high"),
    [
        ("pet-synthesis", "SUV", 0, 80),
        ("ct-denoise", "HU", -1024, 40),
        ("ct-denoise", "HU", -1000, -1000),
    ],
)
def test_an_object_inside_the_window_passes(
    tmp_path: Path, task: str, unit: str, low: float, high: float
) -> None:
    with open_scan(save(tmp_path / "x.nii", low, high), assume_unit=unit) as reader:
        refuse_outside_window(get_task(task), reader)


def test_an_activity_without_a_unit_is_refused_with_the_option_that_helps(tmp_path: Path) -> None:
    path, task = save(tmp_path / "activity.nii", 0, 25000), get_task("pet-synthesis")
    with open_scan(path) as reader, pytest.raises(UnsuitableInputError) as caught:
        check(task, reader)
    assert "do not look like SUV" in str(caught.value)
    assert "--suv-factor" in caught.value.hint
    with open_scan(path, suv_factor=2e-4) as reader:
        check(task, reader)
        refuse_outside_window(task, reader)
        assert (reader.info.unit, task.unit_factor(reader.info)) == ("Bq/ml", 2e-4)


def test_simulate_refuses_accepts_and_takes_the_factor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "activity.nii", 0, 25000)
    words = ["simulate", str(path), "-t", "pet-synthesis", "-o", str(tmp_path / "out.nii")]
    assert main([*words, "--unit", "SUV"]) == 4
    assert "lies outside 0 to 1000 SUV" in capsys.readouterr().err
    assert main([*words, "--unit", "SUV", "--any-values"]) == 0
    assert main([*words, "--suv-factor", "2e-4", "--if-exists", "overwrite"]) == 0


def test_info_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "activity.nii", 0, 25000)
    assert main(["info", str(path), "--unit", "SUV"]) == 0
    assert "of the object lies outside 0 to 1000 SUV" in capsys.readouterr().out
    assert main(["info", str(path), "--suv-factor", "2e-4"]) == 0
    assert "1 SUV is 5000 Bq/ml" in capsys.readouterr().out
