"""Every scan of a batch has an output of its own, and nothing else is lost by writing it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from batch_scans import AddOne, Heard, make_scan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ratcli.batch.existing import IfExists, settle_existing
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Plan, Selection, find_jobs
from ratcli.batch.session import Batch, BatchSettings
from ratcli.cli.app import main
from ratcli.commands.segment import find_region_jobs
from ratcli.errors import OutputError
from tests.formats.dicom_scans import dicom_dataset, save_dicom, save_series, set_elements, uid

SUFFIX = "_ct-denoise"


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)


def save_scout(path: Path) -> Path:
    """Write a single image of another size and series."""
    changes = {"SeriesInstanceUID": uid(str(path)), "SOPInstanceUID": uid(path, "image")}
    return save_dicom(dicom_dataset(np.full((6, 9), 40), **changes), path)


def study(folder: Path) -> Path:
    """Write what a scanner exports: an axial series and a scout in one folder."""
    save_series(folder / "CT", 3)
    save_scout(folder / "CT" / "a_scout.dcm")
    return folder


def outputs(plan: Plan, root: Path) -> dict[str, str]:
    return {job.name: job.output.relative_to(root).as_posix() for job in plan.jobs}


def run(plan: Plan, if_exists: Literal["error", "skip", "overwrite"] = "error") -> list[Outcome]:
    return Batch(plan, Header(), BatchSettings(if_exists=if_exists)).run(AddOne(), Heard())


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_series_beside_a_scout_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    plan = find_jobs([study(tmp_path / "in")], Selection(SUFFIX, tmp_path / "out", True))
    assert outputs(plan, tmp_path) == {
        "CT": "out/CT_series",
        "CT/a_scout.dcm": "out/CT/a_scout.dcm",
    }


def test_a_series_alone_keeps_the_name_of_its_folder(tmp_path: Path) -> None:
    save_series(tmp_path / "in" / "CT", 3)
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", True))
    assert outputs(plan, tmp_path) == {"CT": "out/CT"}


def test_a_nifti_file_in_a_folder_inside_moves_the_series(tmp_path: Path) -> None:
    save_series(tmp_path / "in" / "CT", 3)
    make_scan(tmp_path / "in" / "CT" / "deep" / "a.nii")
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", True))
    assert outputs(plan, tmp_path) == {"CT": "out/CT_series", "CT/deep/a.nii": "out/CT/deep/a.nii"}


def test_the_name_for_a_series_may_be_taken_too(tmp_path: Path) -> None:
    study(tmp_path / "in")
    save_series(tmp_path / "in" / "CT_series", 3, SeriesInstanceUID=uid("other"))
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", True))
    assert sorted(outputs(plan, tmp_path / "out").values()) == [
        "CT/a_scout.dcm",
        "CT_series",
        "CT_series_2",
    ]


def test_series_with_numbers_meet_no_folder_of_that_name(tmp_path: Path) -> None:
    save_series(tmp_path / "in" / "CT", 3)
    for path in list((tmp_path / "in" / "CT").iterdir()):
        path.rename(path.with_name(f"x_{path.name}"))
    save_series(tmp_path / "in" / "CT", 3, SeriesInstanceUID=uid("other"))
    make_scan(tmp_path / "in" / "CT_series1" / "a.nii")
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", True))
    assert sorted(outputs(plan, tmp_path / "out").values()) == [
        "CT_series1/a.nii",
        "CT_series1_2",
        "CT_series2",
    ]


def test_names_that_differ_in_case_alone_are_told_apart(tmp_path: Path) -> None:
    for name in ("a.nii", "A.nii", "A_2.nii"):
        make_scan(tmp_path / "in" / name)
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out"))
    names = [job.output.name.casefold() for job in plan.jobs]
    assert len(set(names)) == 3


def test_a_residual_does_not_take_the_name_of_another_output(tmp_path: Path) -> None:
    for name in ("a.nii", "a_residual.nii"):
        make_scan(tmp_path / "in" / name)
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", residual=True))
    claims = [path.name for job in plan.jobs for path in job.claims]
    assert len(set(claims)) == 4


def test_a_slide_and_a_file_with_the_name_of_its_level_are_told_apart(tmp_path: Path) -> None:
    for name in ("slide.dcm", "slide_level1.dcm"):
        save_scout(tmp_path / "in" / name)
    plan = find_jobs([tmp_path / "in"], Selection("_pathology-sr", tmp_path / "out", levels=True))
    assert outputs(plan, tmp_path / "out") == {
        "slide.dcm": "slide.dcm",
        "slide_level1.dcm": "slide_level1_2.dcm",
    }
    without_levels = find_jobs([tmp_path / "in"], Selection("_ct-denoise", tmp_path / "out"))
    assert without_levels.jobs[1].output.name == "slide_level1.dcm"


def test_a_level_that_exists_is_found_before_anything_is_computed(tmp_path: Path) -> None:
    save_scout(tmp_path / "in" / "slide.dcm")
    save_scout(tmp_path / "out" / "slide_level1.dcm")
    plan = find_jobs([tmp_path / "in"], Selection("_pathology-sr", tmp_path / "out", levels=True))
    with pytest.raises(OutputError, match="already exists"):
        settle_existing(plan, "error")
    either: list[IfExists] = ["skip", "overwrite"]
    for if_exists in either:
        [outcome] = settle_existing(plan, if_exists).outcomes
        assert outcome.error == "slide_level1.dcm already exists, but slide.dcm does not"


@pytest.mark.parametrize("kind", [None, "nifti"])
def test_region_maps_of_files_that_share_a_stem_are_told_apart(
    tmp_path: Path, kind: str | None
) -> None:
    for name in ("a.nii", "a.nii.gz"):
        make_scan(tmp_path / "in" / name)
    save_scout(tmp_path / "in" / "a.dcm")
    plan = find_region_jobs([tmp_path / "in"], Selection("_regions"), kind)
    assert len({job.output for job in plan.jobs}) == 3


def test_a_name_made_for_the_manifest_is_no_other_scan_s_name(tmp_path: Path) -> None:
    inputs = [make_scan(tmp_path / folder / "a.nii") for folder in ("x", "y")]
    inputs.append(make_scan(tmp_path / "z" / "a.nii (2).nii"))
    inputs[2] = inputs[2].rename(tmp_path / "z" / "a.nii (2)")
    names = [job.name for job in find_jobs(inputs, Selection(SUFFIX)).jobs]
    assert len(set(names)) == 3


def test_a_series_has_the_same_name_where_it_alone_is_asked_for(tmp_path: Path) -> None:
    study(tmp_path / "in")
    selection = Selection(SUFFIX, tmp_path / "out", True, uid("series"))
    assert outputs(find_jobs([tmp_path / "in"], selection), tmp_path) == {"CT": "out/CT_series"}


@pytest.mark.parametrize("what", ["scans", "regions"])
@pytest.mark.parametrize("place", ["CT", "", "CT.zip"])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_numbered_series_keeps_its_number_where_it_alone_is_asked_for(
    tmp_path: Path, what: str, place: str, elsewhere: bool
) -> None:
    root, out = tmp_path / "in", tmp_path / "out" if elsewhere else None
    for name in ("b", "a", "c"):
        save_series(root / "CT" / name, 2, SeriesInstanceUID=uid(name))
        for file in (root / "CT" / name).iterdir():
            file.rename(root / "CT" / f"{name}{file.name}")
        (root / "CT" / name).rmdir()
    if place == "CT.zip":
        shutil.make_archive(str(root / "CT"), "zip", root / "CT")
    whole = outputs(FIND[what](root / place, out), tmp_path)
    assert len(whole) == 3
    alone: dict[str, str] = {}
    for name in ("c", "a", "b"):
        alone |= outputs(FIND[what](root / place, out, uid(name)), tmp_path)
    assert alone == whole


@pytest.mark.parametrize("if_exists", ["skip", "overwrite"])
def test_what_stands_in_the_folder_of_a_series_is_not_deleted(
    tmp_path: Path, if_exists: Literal["skip", "overwrite"]
) -> None:
    save_series(tmp_path / "in" / "CT", 3)
    other = save_scout(tmp_path / "out" / "CT" / "a_scout.dcm")
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", True))
    (outcome,) = run(plan, if_exists)
    assert outcome.status == "failed"
    assert "CT holds what is not of this scan (a_scout.dcm)" in outcome.error
    assert other.exists()


def test_what_came_into_the_folder_while_it_was_written_is_not_deleted(tmp_path: Path) -> None:
    save_series(tmp_path / "in" / "CT", 3)
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", True))
    run(plan)
    settled = settle_existing(plan, "overwrite")
    note = tmp_path / "out" / "CT" / "notes"
    note.mkdir()
    (outcome,) = run(settled)
    assert outcome.status == "failed"
    assert note.exists()


def test_an_older_output_of_more_slices_is_replaced(tmp_path: Path) -> None:
    save_series(tmp_path / "in" / "CT", 4)
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", True))
    run(plan)
    (tmp_path / "in" / "CT" / "slice1.dcm").unlink()
    plan = find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", True))
    assert [outcome.status for outcome in run(plan, "overwrite")] == ["done"]
    assert files(tmp_path / "out") == ["CT", "CT/slice2.dcm", "CT/slice3.dcm", "CT/slice4.dcm"]


def test_slices_of_several_folders_that_share_names_are_all_written(tmp_path: Path) -> None:
    for folder, place in (("x", 0), ("y", 1), ("z", 2)):
        name = {"x": "a_3.dcm", "y": "a.dcm", "z": "a.dcm"}[folder]
        dataset = dicom_dataset(np.full((6, 9), 40), SOPInstanceUID=uid(folder))
        set_elements(dataset, ImagePositionPatient=["0", "0", str(place)], InstanceNumber=place)
        save_dicom(dataset, tmp_path / "in" / folder / name)
    run(find_jobs([tmp_path / "in"], Selection(SUFFIX, tmp_path / "out", True)))
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3


@pytest.mark.parametrize("verb", ["restore", "segment", "simulate"])
@pytest.mark.parametrize("place", [[], ["-o", "new"]])
def test_every_command_writes_the_series_and_the_scout(
    tmp_path: Path,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    place: list[str],
) -> None:
    square = ["0.7", "0.7"]
    save_series(tmp_path / "in" / "CT", 3, PixelSpacing=square)
    scout = dicom_dataset(np.full((48, 48), 40), PixelSpacing=square)
    set_elements(scout, SeriesInstanceUID=uid("scout"), SOPInstanceUID=uid("scout image"))
    save_dicom(scout, tmp_path / "in" / "CT" / "a_scout.dcm")
    monkeypatch.chdir(tmp_path)
    command = [verb, "in", "-r", "-t", "ct-denoise", *place, "--threads", "1", "-q"]
    assert main(command) == 0
    before = files(tmp_path)
    assert main([*command, "--if-exists", "skip"]) == 0
    assert main([*command, "--if-exists", "overwrite"]) == 0
    assert files(tmp_path) == before


def test_a_dry_run_shows_the_names(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    main(["restore", str(study(tmp_path / "in")), "-r", "-t", "ct-denoise", "-o", out, "--dry-run"])
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.startswith("CT ->") and line.endswith("CT_series")]


@dataclass(frozen=True)
class Item:
    """What a tree holds: a file or a series at a path."""

    kind: str
    path: str


NAMES = st.sampled_from(["a", "A", "a.nii", "a_2", "a_series", "a_series1", "a_residual", "b.dcm"])
ITEMS = st.builds(
    Item,
    st.sampled_from(["series", "series", "nifti", "dicom"]),
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
)


def plant(root: Path, items: list[Item]) -> None:
    """Write a tree; an item whose place is taken is left out."""
    for number, item in enumerate(items):
        path = root / item.path
        above = [part for part in path.parents if part.is_relative_to(root)]
        if any(part.is_file() for part in (path, *above)) or (
            item.kind != "series" and path.exists()
        ):
            continue
        if item.kind == "nifti":
            make_scan(path.with_name("t.nii"), number, planes=1).rename(path)
        elif item.kind == "dicom":
            save_scout(path)
        else:
            for place in range(2):
                dataset = dicom_dataset(np.full((4, 4), place), SeriesInstanceUID=uid(number))
                set_elements(dataset, SOPInstanceUID=uid(number, place), InstanceNumber=place)
                set_elements(dataset, ImagePositionPatient=["0", "0", str(place)])
                save_dicom(dataset, path / f"{number}_{place}.dcm")


def assert_apart(plan: Plan) -> None:
    """Every claimed path is one job's, and none lies in another, whatever their case."""
    keys = [
        tuple(part.casefold() for part in path.parts) for job in plan.jobs for path in job.claims
    ]
    assert len(set(keys)) == len(keys)
    folders = {key[:end] for key in keys for end in range(len(key))}
    assert not folders & set(keys)


def _find_scans(root: Path, out: Path | None, series: str | None = None) -> Plan:
    return find_jobs([root], Selection(SUFFIX, out, True, series, residual=True))


def _find_regions(root: Path, out: Path | None, series: str | None = None) -> Plan:
    selection = Selection("_regions", out, True, series)
    return find_region_jobs([root], selection, None, lambda path: (path.with_suffix(".csv"),))


FIND = {"scans": _find_scans, "regions": _find_regions}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ITEMS, min_size=1, max_size=7), st.booleans(), st.sampled_from(sorted(FIND)))
def test_every_scan_of_a_tree_has_one_output_and_none_lies_in_another(
    items: list[Item], elsewhere: bool, what: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plant(root / "in", items)
        plan = FIND[what](root / "in", root / "out" if elsewhere else None)
        assert plan.jobs
        assert not plan.outcomes
        assert_apart(plan)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ITEMS, min_size=1, max_size=5), st.booleans())
def test_a_tree_that_is_run_again_stays_as_it_is(items: list[Item], elsewhere: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plant(root / "in", items)
        selection = Selection(SUFFIX, root / "out" if elsewhere else None, recursive=True)
        first = find_jobs([root / "in"], selection)
        assert {outcome.status for outcome in run(first)} == {"done"}
        before = files(root)
        again = find_jobs([root / "in"], selection)
        assert outputs(again, root) == outputs(first, root)
        assert {outcome.status for outcome in run(again, "skip")} - {"left out"} == {"skipped"}
        assert {outcome.status for outcome in run(again, "overwrite")} - {"left out"} == {"done"}
        assert files(root) == before
