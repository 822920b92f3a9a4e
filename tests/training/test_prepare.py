"""From folders to runs: patients told apart and held out, weights to begin with."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_scans import RECIPE, body, write_nifti, write_pairs, write_series

from ratcli.errors import InputNotFoundError, UnsuitableInputError, UsageError, WeightsError
from ratcli.network.rat import NetworkSettings
from ratcli.tasks import get_task
from ratcli.training.data import FoundScan, find_patients
from ratcli.training.plane_store import PlaneStore
from ratcli.training.prepare import begin_from, prepare, split, tune_from

CT = get_task("ct-denoise")
CPU = torch.device("cpu")


def found(*patients: str) -> list[FoundScan]:
    return [FoundScan(patient, f"{patient}/{n}", Path()) for n, patient in enumerate(patients)]


def test_patients_are_never_split() -> None:
    parts = found(*(f"p{n // 3}" for n in range(60)))
    for seed in range(5):
        train, held_out = split(parts, replace(RECIPE, seed=seed))
        assert not {part.patient for part in train} & {part.patient for part in held_out}
        assert len({part.patient for part in held_out}) == 3
        assert len(train) + len(held_out) == 60


def test_a_patient_more_moves_few_others() -> None:
    patients = [f"p{n}" for n in range(40)]
    before = {part.patient for part in split(found(*patients), RECIPE)[1]}
    after = {part.patient for part in split(found(*patients, "new"), RECIPE)[1]}
    assert len(before ^ after) <= 2


def test_one_patient_alone_is_not_held_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        train, held_out = split(found("p", "p"), RECIPE)
    assert (len(train), held_out) == (2, [])
    assert "one patient" in caplog.text


def test_a_folder_or_file_is_a_patient(tmp_path: Path) -> None:
    for name in ("a/1.nii.gz", "a/2.nii.gz", "b.nii.gz", "sub-01_x.nii.gz", "sub-01_y.nii.gz"):
        write_nifti(tmp_path / name, body())
    patients = [piece.patient for piece in find_patients(tmp_path)]
    assert sorted(patients) == ["a", "a", "b", "sub-01", "sub-01"]


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    write_nifti(tmp_path / "store" / "a.nii.gz", body())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").symlink_to(tmp_path / "store")
    assert [piece.patient for piece in find_patients(tmp_path / "data")] == ["mine"]


def test_dicom_tells_its_patient_wherever_it_lies(tmp_path: Path) -> None:
    for name, patient in (("x/1", "A"), ("x/2", "B"), ("y", "A")):
        write_series(tmp_path / name, body(), patient)
    found = [piece.patient for piece in find_patients(tmp_path)]
    assert found[0] == found[2] != found[1]


def test_a_run_on_clean_scans_learns_from_most_and_holds_one_out(tmp_path: Path) -> None:
    for number in range(3):
        write_nifti(tmp_path / "data" / f"p{number}.nii.gz", body(radius=14 + number))
    trainer = prepare(RECIPE, tmp_path / "data", tmp_path / "run", CPU)
    trainer.run(until=2)
    assert np.isfinite(trainer.best_db)


def test_a_run_on_pairs_uses_named_patients(tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", 3)
    recipe = replace(RECIPE, train=("p0", "p2.nii.gz"), held_out=("p1",))
    trainer = prepare(recipe, tmp_path / "data", tmp_path / "run", CPU)
    trainer.run(until=1)
    assert trainer.step == 1


def test_a_name_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", 2)
    recipe = replace(RECIPE, train=("p0",), held_out=("nobody",))
    with pytest.raises(InputNotFoundError, match="no 'nobody' in the training data"):
        prepare(recipe, tmp_path / "data", tmp_path / "run", CPU)


def test_a_dicom_patient_on_both_sides_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_series(tmp_path / "low" / name, body() + 5, "A")
        write_series(tmp_path / "full" / name, body(), "A")
    recipe = replace(RECIPE, train=("a",), held_out=("b",))
    with pytest.raises(UnsuitableInputError, match="both for training and for validation"):
        prepare(recipe, tmp_path, tmp_path / "run", CPU)


def test_a_network_of_other_channels_is_refused(tmp_path: Path) -> None:
    recipe = replace(RECIPE, network=NetworkSettings(channels=3))
    with pytest.raises(UsageError, match="3 channels and scale 1, but ct-denoise takes 1 and 1"):
        prepare(recipe, tmp_path, tmp_path / "run", CPU)


def test_a_task_of_another_grid_cannot_be_balanced(tmp_path: Path) -> None:
    network = NetworkSettings(channels=3, width=8, scale=4)
    recipe = replace(RECIPE, task="pathology-sr", network=network, balance=1.0)
    with pytest.raises(UsageError, match="cannot set balance"):
        prepare(recipe, tmp_path, tmp_path / "run", torch.device("cpu"))


def test_tuning_begins_with_installed_weights(tiny_weights: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", 2)
    recipe = tune_from(RECIPE, "ct-denoise", is_network_given=False)
    assert (recipe.network.width, recipe.tuned_from) == (8, "ct-denoise")
    trainer = prepare(recipe, tmp_path / "data", tmp_path / "run", CPU)
    before = trainer.network.ending.weight.clone()
    begin_from(trainer, "ct-denoise")
    assert not torch.equal(before, trainer.network.ending.weight)
    assert torch.equal(trainer.average["ending.weight"], trainer.network.ending.weight)


@pytest.mark.parametrize(
    ("task", "is_given", "message"),
    [
        ("pet-synthesis", False, "are for ct-denoise"),
        ("ct-denoise", True, "do not fit the network"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    tiny_weights: Path, task: str, is_given: bool, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        tune_from(replace(RECIPE, task=task), "ct-denoise", is_network_given=is_given)


def test_planes_beyond_the_room_come_back_from_disk_unchanged() -> None:
    store = PlaneStore(room_bytes=100)
    planes = [np.full((1, 4, 5), number, np.float32) for number in range(4)]
    kept = [store.keep(plane) for plane in planes]
    assert [isinstance(plane, np.memmap) for plane in kept] == [False, True, True, True]
    assert all(np.array_equal(a, b) for a, b in zip(planes, kept, strict=True))
