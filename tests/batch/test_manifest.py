"""The manifest of a batch, and what is done when it is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from batch_scans import AddOne, Heard, make_scan, values_of

from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Selection, find_jobs
from ratcli.batch.session import Batch, BatchSettings
from ratcli.errors import OutputError, UnreadableInputError

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


def break_scan(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


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
    theirs = (tmp_path / "out" / "00.nii").read_bytes()
    (outcome,) = run(tmp_path, settings=settings)
    assert "is not what the manifest says was written" in outcome.error
    assert (outcome.status, outcome.exit_code) == ("failed", OutputError.exit_code)
    assert (tmp_path / "out" / "00.nii").read_bytes() == theirs


def test_an_output_that_is_gone_is_made_again(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 2)
    settings = BatchSettings(manifest=tmp_path / "run.json", resume=True)
    run(tmp_path, settings=settings)
    (tmp_path / "out" / "00.nii").unlink()
    assert statuses(run(tmp_path, settings=settings)) == {"00.nii": "done", "01.nii": "skipped"}


def test_a_manifest_of_another_batch_is_not_replaced(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 1)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OutputError, match="already exists"):
        run(tmp_path, settings=BatchSettings(manifest=tmp_path / "run.json"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "is not a manifest"),
        ("3", "is not a manifest"),
        ("[" * 100_000, "is not a manifest"),
        ('{"settings": 3, "files": []}', "settings is 3, expected a table"),
        ('{"files": []}', "settings is None, expected a table"),
        ('{"settings": {}, "files": {}}', "files is {}, expected a list"),
        ('{"settings": {}, "files": [3]}', r"files\[0\] is 3, expected a table"),
        ('{"settings": {}, "files": [{"name": "a"}]}', r"status is missing in files\[0\]"),
        (
            '{"settings": {}, "files": [{"name": 3, "status": "done"}]}',
            r"files\[0\]\.name is 3, expected a text",
        ),
        (
            '{"settings": {}, "files": [{"name": "a", "status": "good"}]}',
            r"files\[0\]\.status is 'good'",
        ),
        (
            '{"settings": {}, "files": [{"name": "a", "status": "done", "facts": 3}]}',
            r"files\[0\]\.facts is 3, expected a table",
        ),
    ],
)
def test_a_damaged_manifest_is_refused_by_its_key(tmp_path: Path, text: str, sentence: str) -> None:
    make_folder(tmp_path / "in", 1)
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UnreadableInputError, match=sentence):
        run(tmp_path, settings=BatchSettings(manifest=tmp_path / "run.json", resume=True))
    assert (tmp_path / "run.json").read_text() == text


def make_pair(path: Path, seed: int) -> None:
    values = np.random.default_rng(seed).integers(-500, 500, (8, 8, 3)).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Pair(values, np.eye(4)), path)


@pytest.fixture
def resuming(tmp_path: Path) -> BatchSettings:
    return BatchSettings(manifest=tmp_path / "run.json", resume=True)


def test_new_voxels_of_a_pair_are_done_again(tmp_path: Path, resuming: BatchSettings) -> None:
    make_pair(tmp_path / "in" / "a.hdr", seed=0)
    run(tmp_path, settings=resuming)
    assert statuses(run(tmp_path, settings=resuming)) == {"a.hdr": "skipped"}
    make_pair(tmp_path / "in" / "a.hdr", seed=1)
    assert statuses(run(tmp_path, settings=resuming)) == {"a.hdr": "done"}
    expected = values_of(tmp_path / "in" / "a.img") + 1
    np.testing.assert_array_equal(values_of(tmp_path / "out" / "a.img"), expected)


def test_a_part_of_an_output_that_is_gone_is_made_again(
    tmp_path: Path, resuming: BatchSettings
) -> None:
    make_pair(tmp_path / "in" / "a.hdr", seed=0)
    run(tmp_path, settings=resuming)
    (tmp_path / "out" / "a.img").unlink()
    assert statuses(run(tmp_path, settings=resuming)) == {"a.hdr": "done"}
    assert (tmp_path / "out" / "a.img").is_file()


def test_a_damaged_part_of_an_output_fails_alone_and_stays(
    tmp_path: Path, resuming: BatchSettings
) -> None:
    make_pair(tmp_path / "in" / "a.hdr", seed=0)
    run(tmp_path, settings=resuming)
    voxels = tmp_path / "out" / "a.img"
    voxels.write_bytes(voxels.read_bytes()[:100])
    make_pair(tmp_path / "in" / "b.hdr", seed=1)
    assert statuses(run(tmp_path, settings=resuming)) == {"a.hdr": "failed", "b.hdr": "done"}
    assert voxels.stat().st_size == 100
    again = replace(resuming, if_exists="overwrite")
    assert statuses(run(tmp_path, settings=again)) == {"a.hdr": "done", "b.hdr": "skipped"}


def test_an_output_that_is_now_wanted_too_does_not_stop_the_others(
    tmp_path: Path, resuming: BatchSettings
) -> None:
    make_folder(tmp_path / "in", 1)
    run(tmp_path, settings=resuming)
    make_folder(tmp_path / "in", 2)
    wanted = Selection("_one", output=tmp_path / "out", residual=True)
    batch = Batch(find_jobs([tmp_path / "in"], wanted), HEADER, resuming)
    assert [(job.name, job.overwrite) for job in batch.jobs] == [
        ("00.nii", True),
        ("01.nii", False),
    ]
