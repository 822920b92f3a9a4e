from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from batch_scans import AddOne, Heard, make_scan, values_of

from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Outcome, failure_of
from ratcli.batch.plan import Selection, find_jobs
from ratcli.batch.session import Batch, BatchSettings
from ratcli.errors import WeightsError

HEADER = Header({"task": "add-one"}, {"rat": "0"})


def make_folder(folder: Path, count: int) -> Path:
    for number in range(count):
        make_scan(folder / f"{number:02}.nii", seed=number)
    return folder


def run(
    tmp_path: Path, work: AddOne | None = None, settings: BatchSettings | None = None
) -> list[Outcome]:
    plan = find_jobs([tmp_path / "in"], Selection("_one", output=tmp_path / "out"))
    batch = Batch(plan, HEADER, settings or BatchSettings())
    return batch.run(work or AddOne(), Heard())


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.name: outcome.status for outcome in outcomes}


def assert_nothing_hidden(folder: Path) -> None:
    assert [path.name for path in folder.rglob(".*")] == []


def break_scan(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


@pytest.mark.parametrize("processes", [1, 2])
def test_every_scan_comes_out_right(tmp_path: Path, processes: int) -> None:
    make_folder(tmp_path / "in", 5)
    outcomes = run(tmp_path, settings=BatchSettings(processes=processes))
    assert sorted(statuses(outcomes)) == [f"{n:02}.nii" for n in range(5)]
    for number in range(5):
        before = values_of(tmp_path / "in" / f"{number:02}.nii")
        after = values_of(tmp_path / "out" / f"{number:02}.nii")
        np.testing.assert_array_equal(after, before + 1)
    assert_nothing_hidden(tmp_path)


@pytest.mark.parametrize("processes", [1, 2])
def test_one_broken_scan_stops_no_other(tmp_path: Path, processes: int) -> None:
    make_folder(tmp_path / "in", 4)
    break_scan(tmp_path / "in" / "01.nii")
    outcomes = run(tmp_path, settings=BatchSettings(processes=processes))
    assert statuses(outcomes) == {
        "00.nii": "done",
        "01.nii": "failed",
        "02.nii": "done",
        "03.nii": "done",
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "00.nii",
        "02.nii",
        "03.nii",
    ]
    error = failure_of(outcomes)
    assert error is not None
    assert error.exit_code == 8


def test_the_first_failure_ends_the_run_where_that_is_wanted(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 9)
    outcomes = run(tmp_path, AddOne(refuses="00"), BatchSettings(fail_fast=True))
    assert outcomes[0].status == "failed"
    assert len(outcomes) < 9


def test_the_work_is_loaded_once_for_all_scans(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 5)
    run(tmp_path, AddOne(journal=tmp_path / "journal"))
    assert (tmp_path / "journal").read_text().split() == [str(os.getpid())]


def test_each_process_loads_the_work_once(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 6)
    run(tmp_path, AddOne(journal=tmp_path / "journal"), BatchSettings(processes=2))
    processes = (tmp_path / "journal").read_text().split()
    assert len(processes) == len(set(processes)) <= 2


def test_the_work_is_not_loaded_where_every_scan_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 2)
    run(tmp_path, AddOne(refuses="nii", journal=tmp_path / "journal"))
    assert not (tmp_path / "journal").exists()


def test_a_refused_scan_leaves_not_even_a_folder(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 1)
    run(tmp_path, AddOne(refuses="nii"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_missing_weights_end_the_run(tmp_path: Path, processes: int) -> None:
    make_folder(tmp_path / "in", 3)
    with pytest.raises(WeightsError):
        run(tmp_path, AddOne(loads=False), BatchSettings(processes=processes))


def test_a_process_that_dies_costs_no_scan(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 4)
    work = AddOne(kills_once=tmp_path / "flag")
    outcomes = run(tmp_path, work, BatchSettings(processes=2))
    assert set(statuses(outcomes).values()) == {"done"}
    assert len(outcomes) == 4
    assert_nothing_hidden(tmp_path)


def test_a_scan_that_ends_every_process_fails_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 3)
    outcomes = run(tmp_path, AddOne(kills_on="01"), BatchSettings(processes=2))
    told = {outcome.name: (outcome.status, outcome.exit_code) for outcome in outcomes}
    assert told == {"00.nii": ("done", 0), "01.nii": ("failed", 6), "02.nii": ("done", 0)}


def test_an_input_that_vanishes_fails_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 2)
    plan = find_jobs([tmp_path / "in"], Selection("_one", output=tmp_path / "out"))
    (tmp_path / "in" / "00.nii").unlink()
    outcomes = Batch(plan, HEADER, BatchSettings()).run(AddOne(), Heard())
    assert statuses(outcomes) == {"00.nii": "failed", "01.nii": "done"}
    assert outcomes[0].exit_code in (3, 4)


def test_a_file_where_the_output_folder_should_be_is_told(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 2)
    (tmp_path / "out").write_text("in the way")
    outcomes = run(tmp_path)
    assert {outcome.exit_code for outcome in outcomes} == {5}
    error = failure_of(outcomes)
    assert error is not None
    assert error.exit_code == 5
