"""Outputs that several processes want, and what killed ones left."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from batch_scans import AddOne, Heard, make_scan

from ratcli.batch.claim import claim_path, claimed, sweep
from ratcli.batch.existing import IfExists
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Selection, find_jobs
from ratcli.batch.session import Batch, BatchSettings

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
