from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from batch_scans import AddOne, Heard, make_scan, values_of

from ratcli.batch.claim import claim_path, claimed, sweep
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import TRACE, Outcome, as_rat_error, failure_of
from ratcli.batch.plan import IfExists, Selection, find_jobs
from ratcli.batch.session import Batch, BatchSettings
from ratcli.errors import OutputError, WeightsError

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


def test_a_manifest_tells_of_every_scan_and_resuming_does_what_is_left(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 3)
    whole = (tmp_path / "in" / "01.nii").read_bytes()
    break_scan(tmp_path / "in" / "01.nii")
    settings = BatchSettings(manifest=tmp_path / "run.json", resume=True)
    assert statuses(run(tmp_path, settings=settings))["01.nii"] == "failed"
    (tmp_path / "in" / "01.nii").write_bytes(whole)
    assert statuses(run(tmp_path, settings=settings)) == {
        "00.nii": "skipped",
        "01.nii": "done",
        "02.nii": "skipped",
    }
    assert set(statuses(run(tmp_path, settings=settings)).values()) == {"skipped"}


def test_an_input_that_changed_is_done_again(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 2)
    settings = BatchSettings(manifest=tmp_path / "run.json", resume=True)
    run(tmp_path, settings=settings)
    make_scan(tmp_path / "in" / "01.nii", seed=7)
    assert statuses(run(tmp_path, settings=settings)) == {"00.nii": "skipped", "01.nii": "done"}
    expected = values_of(tmp_path / "in" / "01.nii") + 1
    np.testing.assert_array_equal(values_of(tmp_path / "out" / "01.nii"), expected)


def test_an_output_that_somebody_changed_is_not_replaced(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 1)
    settings = BatchSettings(manifest=tmp_path / "run.json", resume=True)
    run(tmp_path, settings=settings)
    make_scan(tmp_path / "out" / "00.nii", seed=9)
    with pytest.raises(OutputError, match="exists already"):
        run(tmp_path, settings=settings)


def test_an_output_that_is_gone_is_made_again(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 2)
    settings = BatchSettings(manifest=tmp_path / "run.json", resume=True)
    run(tmp_path, settings=settings)
    (tmp_path / "out" / "00.nii").unlink()
    assert statuses(run(tmp_path, settings=settings)) == {"00.nii": "done", "01.nii": "skipped"}


def test_a_manifest_of_another_batch_is_not_replaced(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 1)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OutputError, match="exists already"):
        run(tmp_path, settings=BatchSettings(manifest=tmp_path / "run.json"))


def test_an_output_is_refused_while_another_process_writes_it(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    with claimed(tmp_path / "out" / "00.nii"):
        (outcome,) = run(tmp_path)
    assert outcome.status == "failed"
    assert "another process" in outcome.error
    assert list((tmp_path / "out").iterdir()) == []


def test_what_another_process_has_finished_meanwhile_is_skipped(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 2)
    (tmp_path / "out").mkdir()
    other = ExitStack()
    other.enter_context(claimed(tmp_path / "out" / "00.nii"))

    class Finishing(Heard):
        def finished(self, outcome: Outcome) -> None:
            super().finished(outcome)
            if outcome.name == "01.nii":
                make_scan(tmp_path / "out" / "00.nii")
                other.close()

    plan = find_jobs([tmp_path / "in"], Selection("_one", output=tmp_path / "out"))
    outcomes = Batch(plan, HEADER, BatchSettings("skip")).run(AddOne(), Finishing())
    assert statuses(outcomes) == {"01.nii": "done", "00.nii": "skipped"}


def test_what_another_process_gave_up_is_done_after_all(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 2)
    (tmp_path / "out").mkdir()
    other = ExitStack()
    other.enter_context(claimed(tmp_path / "out" / "00.nii"))

    class GivingUp(Heard):
        def finished(self, outcome: Outcome) -> None:
            super().finished(outcome)
            other.close()

    plan = find_jobs([tmp_path / "in"], Selection("_one", output=tmp_path / "out"))
    outcomes = Batch(plan, HEADER, BatchSettings("skip")).run(AddOne(), GivingUp())
    assert statuses(outcomes) == {"01.nii": "done", "00.nii": "done"}


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 1)
    out = tmp_path / "out"
    out.mkdir()
    (out / ".00.nii.01234567.rat-partial").write_text("half")
    (out / ".00.nii.b.01234567.rat-partial").write_text("of another output")
    claim_path(out / "00.nii").touch()
    run(tmp_path)
    assert sorted(path.name for path in out.iterdir()) == [
        ".00.nii.b.01234567.rat-partial",
        "00.nii",
    ]


@pytest.mark.parametrize("if_exists", ["skip", "overwrite"])
def test_what_a_kill_left_of_a_whole_output_is_removed(tmp_path: Path, if_exists: IfExists) -> None:
    make_folder(tmp_path / "in", 1)
    run(tmp_path)
    claim_path(tmp_path / "out" / "00.nii").touch()
    (tmp_path / "out" / ".00.nii.01234567.rat-partial").write_text("half")
    run(tmp_path, settings=BatchSettings(if_exists))
    assert_nothing_hidden(tmp_path)


def test_what_a_kill_left_is_removed_where_the_input_broke_since(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    claim_path(tmp_path / "out" / "00.nii").touch()
    (tmp_path / "out" / ".00.nii.01234567.rat-partial").write_text("half")
    break_scan(tmp_path / "in" / "00.nii")
    assert statuses(run(tmp_path)) == {"00.nii": "failed"}
    assert_nothing_hidden(tmp_path)


def test_a_claim_that_is_held_is_not_swept_away(tmp_path: Path) -> None:
    output = tmp_path / "00.nii"
    with claimed(output):
        sweep(output)
        assert claim_path(output).exists()


def test_too_little_memory_for_torch_is_no_fault_of_rat() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 48)
    assert as_rat_error(caught.value).exit_code == 6


def test_a_fault_of_rat_is_traced_below_all_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(TRACE, "ratcli.batch"):
        told = as_rat_error(ZeroDivisionError("of SECRET"))
    assert "SECRET" not in str(told)
    (record,) = caplog.records
    assert record.levelno < logging.DEBUG
    assert "ZeroDivisionError: of SECRET" in record.getMessage()


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
