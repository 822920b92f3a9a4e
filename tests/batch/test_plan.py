from __future__ import annotations

from pathlib import Path

import pytest
from batch_scans import make_scan

from ratcli.batch.existing import settle_existing
from ratcli.batch.plan import Plan, Selection, find_jobs
from ratcli.errors import InputNotFoundError, OutputError, UnreadableInputError, UsageError

SUFFIX = "_ct-denoise"


def outputs(plan: Plan, root: Path) -> dict[str, str]:
    return {job.name: job.output.relative_to(root).as_posix() for job in plan.jobs}


def find(*inputs: Path, output: Path | None = None, recursive: bool = False) -> Plan:
    return find_jobs(inputs, Selection(SUFFIX, output=output, recursive=recursive))


def test_an_output_stands_beside_its_input_with_the_task_in_its_name(tmp_path: Path) -> None:
    plan = find(make_scan(tmp_path / "a.nii.gz"))
    assert outputs(plan, tmp_path) == {"a.nii.gz": "a_ct-denoise.nii.gz"}


def test_one_file_may_name_its_output(tmp_path: Path) -> None:
    plan = find(make_scan(tmp_path / "a.nii"), output=tmp_path / "b.nii")
    assert outputs(plan, tmp_path) == {"a.nii": "b.nii"}


def test_one_file_goes_into_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    plan = find(make_scan(tmp_path / "a.nii"), output=tmp_path / "out")
    assert outputs(plan, tmp_path) == {"a.nii": "out/a.nii"}


def test_an_output_without_a_suffix_is_a_folder(tmp_path: Path) -> None:
    plan = find(make_scan(tmp_path / "a.nii"), output=tmp_path / "out")
    assert outputs(plan, tmp_path) == {"a.nii": "out/a.nii"}


def test_an_output_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"b\.dcm ends in \.dcm, but the output is nifti"):
        find(make_scan(tmp_path / "a.nii"), output=tmp_path / "b.dcm")


def test_the_tree_of_a_folder_is_kept(tmp_path: Path) -> None:
    make_scan(tmp_path / "in" / "a.nii")
    make_scan(tmp_path / "in" / "sub" / "b.nii")
    plan = find(tmp_path / "in", output=tmp_path / "out", recursive=True)
    assert outputs(plan, tmp_path) == {"a.nii": "out/a.nii", "sub/b.nii": "out/sub/b.nii"}


def test_folders_inside_a_folder_are_left_alone_unless_asked_for(tmp_path: Path) -> None:
    make_scan(tmp_path / "in" / "a.nii")
    make_scan(tmp_path / "in" / "sub" / "b.nii")
    assert list(outputs(find(tmp_path / "in"), tmp_path)) == ["a.nii"]


def test_an_output_folder_inside_the_input_folder_is_not_searched(tmp_path: Path) -> None:
    make_scan(tmp_path / "a.nii")
    make_scan(tmp_path / "out" / "a.nii")
    plan = find(tmp_path, output=tmp_path / "out", recursive=True)
    assert list(outputs(plan, tmp_path)) == ["a.nii"]


def test_two_inputs_that_would_meet_in_one_output_are_refused(tmp_path: Path) -> None:
    first, second = make_scan(tmp_path / "x" / "a.nii"), make_scan(tmp_path / "y" / "a.nii")
    with pytest.raises(OutputError, match="both be written"):
        find(first, second, output=tmp_path / "out")


def test_two_inputs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    first, second = make_scan(tmp_path / "x" / "a.nii"), make_scan(tmp_path / "y" / "a.nii")
    assert [job.name for job in find(first, second).jobs] == ["a.nii", "a.nii (2)"]


def test_an_output_never_takes_the_place_of_its_input(tmp_path: Path) -> None:
    scan = make_scan(tmp_path / "in" / "a.nii")
    with pytest.raises(OutputError, match="would overwrite an input"):
        find(scan, output=scan)


def test_an_output_never_takes_the_place_of_another_input(tmp_path: Path) -> None:
    make_scan(tmp_path / "a.nii")
    make_scan(tmp_path / "a_ct-denoise.nii")
    with pytest.raises(OutputError, match="would overwrite an input"):
        find(tmp_path / "a.nii", tmp_path / "a_ct-denoise.nii")


def test_a_link_to_the_input_is_the_input(tmp_path: Path) -> None:
    scan = make_scan(tmp_path / "a.nii")
    link = tmp_path / "link.nii"
    link.symlink_to(scan)
    with pytest.raises(OutputError, match="would overwrite an input"):
        find(scan, output=link)


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_scans_behind_links_are_planned_where_the_links_are(tmp_path: Path, linked: str) -> None:
    scan = make_scan(tmp_path / "far" / "a.nii")
    (tmp_path / "in" / "b").mkdir(parents=True)
    if linked == "file":
        (tmp_path / "in" / "b" / "a.nii").symlink_to(scan)
    else:
        (tmp_path / "in" / "b" / "c").symlink_to(scan.parent)
    plan = find(tmp_path / "in", recursive=True)
    inside = "b" if linked == "file" else "b/c"
    assert outputs(plan, tmp_path) == {f"{inside}/a.nii": f"in/{inside}/a_ct-denoise.nii"}


def test_a_missing_only_input_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"a\.nii does not exist"):
        find(tmp_path / "a.nii")


def test_a_text_file_as_only_input_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UnreadableInputError, match="a text file"):
        find(tmp_path / "a.txt")


def test_a_missing_input_of_several_is_a_failure_among_others(tmp_path: Path) -> None:
    plan = find(make_scan(tmp_path / "a.nii"), tmp_path / "b.nii")
    assert [job.name for job in plan.jobs] == ["a.nii"]
    assert [(outcome.name, outcome.exit_code) for outcome in plan.outcomes] == [("b.nii", 3)]


def test_outputs_that_exist_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    make_scan(tmp_path / "a.nii")
    plan = find(make_scan(tmp_path / "b.nii"), make_scan(tmp_path / "a.nii"))
    make_scan(tmp_path / "a_ct-denoise.nii")
    with pytest.raises(OutputError, match=r"a_ct-denoise\.nii already exists"):
        settle_existing(plan, "error")


def test_outputs_that_exist_can_be_skipped(tmp_path: Path) -> None:
    plan = find(make_scan(tmp_path / "a.nii"), make_scan(tmp_path / "b.nii"))
    make_scan(tmp_path / "a_ct-denoise.nii")
    settled = settle_existing(plan, "skip")
    assert [job.name for job in settled.jobs] == ["b.nii"]
    assert [(o.name, o.status) for o in settled.outcomes] == [("a.nii", "skipped")]


def test_outputs_that_exist_can_be_overwritten(tmp_path: Path) -> None:
    plan = find(make_scan(tmp_path / "a.nii"))
    make_scan(tmp_path / "a_ct-denoise.nii")
    assert [job.overwrite for job in settle_existing(plan, "overwrite").jobs] == [True]


def test_a_residual_stands_beside_the_output(tmp_path: Path) -> None:
    selection = Selection(SUFFIX, residual=True)
    (job,) = find_jobs([make_scan(tmp_path / "a.nii.gz")], selection).jobs
    assert [path.name for path in job.outputs] == [
        "a_ct-denoise.nii.gz",
        "a_ct-denoise_residual.nii.gz",
    ]


def test_an_uncertainty_stands_beside_the_output(tmp_path: Path) -> None:
    selection = Selection(SUFFIX, residual=True, uncertainty=True)
    (job,) = find_jobs([make_scan(tmp_path / "a.nii.gz")], selection).jobs
    assert [path.name for path in job.outputs] == [
        "a_ct-denoise.nii.gz",
        "a_ct-denoise_residual.nii.gz",
        "a_ct-denoise_uncertainty.nii.gz",
    ]
