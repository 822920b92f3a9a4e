"""The task of each scan: the one that was named, or the only one that fits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from ratcli.batch.choosing import TaskChoice, choose_tasks, found_task
from ratcli.batch.found import find_inputs
from ratcli.errors import UnsuitableInputError, UsageError
from ratcli.formats import open_scan
from ratcli.tasks import TASKS
from tests.formats.dicom_scans import (
    dicom_dataset,
    pet_dataset,
    ramp,
    rgb_dataset,
    save_dicom,
    save_series,
    uid,
)

CT = TaskChoice((TASKS["ct-denoise"],))


def any_task(unit: str | None = None) -> TaskChoice:
    return TaskChoice(tuple(TASKS.values()), partial(open_scan, assume_unit=unit))


def found_for(path: Path, unit: str | None = None) -> str:
    """Return the task that is found for the only scan at a path, and why."""
    ([scan], _) = find_inputs([path])
    task = any_task(unit).task_for(scan.source)
    with open_scan(scan.source, assume_unit=unit) as reader:
        return found_task(task, reader.info)


def save_nifti(path: Path, low: float, high: float) -> Path:
    values = np.linspace(low, high, 8 * 8 * 2, dtype=np.float32).reshape(8, 8, 2)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


@pytest.mark.parametrize("in_folder", [False, True])
def test_the_modality_of_a_dicom_file_tells_the_task(tmp_path: Path, in_folder: bool) -> None:
    ct = save_dicom(dicom_dataset(ramp()), tmp_path / "ct" / "a.dcm")
    pet = save_dicom(pet_dataset(), tmp_path / "pet" / "a.dcm")
    slide = rgb_dataset(np.zeros((8, 8, 3)), 8, 0)
    slide.Modality = "SM"
    image = save_dicom(slide, tmp_path / "slide" / "a.dcm")
    named = [path.parent if in_folder else path for path in (ct, pet, image)]
    assert [found_for(path) for path in named] == [
        "ct-denoise (CT, HU)",
        "pet-synthesis (PT, Bq/ml)",
        "pathology-sr (SM, RGB)",
    ]


def test_a_unit_tells_the_task_where_the_file_has_no_modality(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    assert found_for(tmp_path / "rgb.tif") == "pathology-sr (RGB)"
    gray = save_nifti(tmp_path / "gray.nii", 0, 90)
    assert found_for(gray, "SUV") == "pet-synthesis (SUV)"
    assert found_for(gray, "HU") == "ct-denoise (HU)"


def test_values_below_those_of_any_other_modality_are_those_of_ct(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "ct.nii.gz", -1000, 800)
    assert found_for(path) == "ct-denoise (values look like HU)"


def test_values_that_could_be_of_pet_or_of_anything_else_are_asked_about(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "gray.nii.gz", 0, 90)
    with pytest.raises(UsageError, match="does not tell which task fits") as raised:
        found_for(path)
    assert raised.value.hint == "Is it for pet-synthesis? Then name the task with --task."


def test_colours_of_an_unknown_origin_are_asked_about(tmp_path: Path) -> None:
    path = save_dicom(rgb_dataset(np.zeros((8, 8, 3)), 8, 0), tmp_path / "photo.dcm")
    with pytest.raises(UsageError, match="modality OT does not tell") as raised:
        found_for(path)
    assert "for pathology-sr?" in raised.value.hint


@pytest.mark.parametrize(("low", "high"), [(0, 4000), (-100, 90)])
def test_values_of_no_task_are_refused(tmp_path: Path, low: float, high: float) -> None:
    path = save_nifti(tmp_path / "mr.nii.gz", low, high)
    with pytest.raises(UnsuitableInputError, match="no task fits"):
        found_for(path)


def test_an_unknown_modality_is_refused_by_name(tmp_path: Path) -> None:
    path = save_dicom(dicom_dataset(ramp(), Modality="MR"), tmp_path / "mr.dcm")
    with pytest.raises(UnsuitableInputError, match="modality is MR, which no task restores"):
        found_for(path)


@pytest.mark.parametrize("choice", [CT, any_task()], ids=["named", "found"])
def test_a_series_of_another_modality_is_left_out_of_a_folder(
    tmp_path: Path, choice: TaskChoice
) -> None:
    save_series(tmp_path / "ct")
    save_series(tmp_path / "mr", SeriesInstanceUID=uid("mr"), Modality="MR")
    found, _ = find_inputs([tmp_path], recursive=True)
    chosen, [outcome] = choose_tasks(found, choice)
    assert [(scan.name, scan.task) for scan in chosen] == [("ct", TASKS["ct-denoise"])]
    assert (outcome.status, outcome.exit_code) == ("left out", 0)
    assert outcome.error.startswith("mr was left out: modality is MR")


@pytest.mark.parametrize("choice", [CT, any_task()], ids=["named", "found"])
def test_it_fails_where_nothing_else_was_named(tmp_path: Path, choice: TaskChoice) -> None:
    save_series(tmp_path / "ct")
    save_series(tmp_path / "mr", SeriesInstanceUID=uid("mr"), Modality="MR")
    found, _ = find_inputs([tmp_path / "ct", tmp_path / "mr"])
    chosen, [outcome] = choose_tasks(found, choice)
    assert [scan.name for scan in chosen] == ["ct"]
    assert (outcome.name, outcome.status, outcome.exit_code) == ("mr", "failed", 4)


def test_a_series_that_was_named_by_its_uid_is_not_left_out(tmp_path: Path) -> None:
    save_series(tmp_path / "ct")
    save_series(tmp_path / "mr", SeriesInstanceUID=uid("mr"), Modality="MR")
    found, _ = find_inputs([tmp_path], recursive=True, series_uid=uid("mr"))
    chosen, outcomes = choose_tasks(found, CT)
    assert len(chosen) == 1  # opening it raises the error
    assert outcomes == []
