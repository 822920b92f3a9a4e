"""Results of earlier runs are no inputs, wherever they lie and whatever their names are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from ratcli.cli.app import main
from tests.formats.dicom_scans import dicom_dataset, save_dicom, set_elements, uid

Output = pytest.CaptureFixture[str]
SQUARE = {"PixelSpacing": ["0.7", "0.7"]}


@pytest.fixture(autouse=True)
def _tiny_and_without_waiting_for_the_disk(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)


def hu(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(40, 20, (32, 32)).round().astype(np.int16)


def save_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".dcm":
        dataset = dicom_dataset(hu(1) + 1024, SOPInstanceUID=uid(path.name), **SQUARE)
        dataset.SeriesInstanceUID = uid(path.name, "series")
        return save_dicom(dataset, path)
    if path.suffix == ".tif":
        tifffile.imwrite(path, hu(2), resolution=(14, 14), resolutionunit="CENTIMETER")
        return path
    image = nibabel.Nifti1Image(hu(3)[..., None], np.diag([0.7, 0.7, 2, 1]))
    nibabel.save(image, path)
    return path


def save_ct(folder: Path) -> Path:
    for number in range(2):
        dataset = dicom_dataset(hu(number) + 1024, SOPInstanceUID=uid(number), **SQUARE)
        set_elements(dataset, SeriesInstanceUID=uid("CT"), InstanceNumber=number)
        set_elements(dataset, ImagePositionPatient=["0", "0", str(number)])
        save_dicom(dataset, folder / f"{number}.dcm")
    return folder


def save_study(folder: Path) -> set[str]:
    """Write a scan of each kind, and return their names."""
    save_ct(folder / "CT")
    names = {"a.dcm", "sub/b.nii.gz", "c.tif", "pair.hdr"}
    for name in names:
        save_file(folder / name)
    return {"CT", *names}


def call(verb: str, *words: object, code: int = 0) -> None:
    more = ["--unit", "HU", *([] if verb == "info" else ["-t", "ct-denoise"])]
    assert main([verb, *map(str, words), *more]) == code


def planned(capsys: Output, verb: str, folder: Path, *more: object) -> tuple[set[str], list[str]]:
    """Return the names that a dry run would work on, and what it says of results."""
    capsys.readouterr()
    call(verb, folder, "-r", "-o", folder.parent / "new", "--dry-run", "--json", *more)
    told = capsys.readouterr()
    outcomes = [json.loads(line) for line in told.out.splitlines()]
    names = {outcome["input"] for outcome in outcomes if outcome["status"] == "planned"}
    return names, [line for line in told.err.splitlines() if "of rat, left out" in line]


@pytest.mark.parametrize("later", ["restore", "segment", "simulate"])
@pytest.mark.parametrize(
    "words",
    [
        ("restore", "--save-residual"),
        ("segment",),
        ("segment", "--format", "tiff"),
    ],
    ids=lambda words: "-".join(words[:1] + words[2:3]),
)
def test_results_beside_their_scans_are_left_out_and_counted_once(
    tmp_path: Path, capsys: Output, words: tuple[str, ...], later: str
) -> None:
    names = save_study(tmp_path / "in")
    call(words[0], tmp_path / "in", "-r", "--threads", 1, *words[1:])
    found, told = planned(capsys, later, tmp_path / "in")
    assert found == names
    assert len(told) == 1
    assert "more are results of rat, left out beside other scans; name one to use it" in told[0]


def test_what_was_simulated_is_restored_and_not_simulated_again(
    tmp_path: Path, capsys: Output
) -> None:
    names = save_study(tmp_path / "in")
    call("simulate", tmp_path / "in", "-r", "--threads", 1)
    found, told = planned(capsys, "restore", tmp_path / "in")
    assert names < found
    assert len(found) == 2 * len(names)
    assert not told
    found, told = planned(capsys, "simulate", tmp_path / "in")
    assert found == names
    assert "4 more are results of rat" in told[0]


def test_what_was_made_from_a_simulated_scan_is_a_result_of_the_last_command(
    tmp_path: Path, capsys: Output
) -> None:
    names = save_study(tmp_path / "in")
    call("simulate", tmp_path / "in", "-r", "-o", tmp_path / "low", "--threads", 1)
    call("restore", tmp_path / "low", "-r", "-o", tmp_path / "in" / "done", "--threads", 1)
    found, told = planned(capsys, "restore", tmp_path / "in")
    assert found == names
    assert len(told) == 1


@pytest.mark.parametrize("verb", ["restore", "segment", "simulate"])
def test_a_name_alone_makes_no_result(tmp_path: Path, capsys: Output, verb: str) -> None:
    names = {f"a_{end}{suffix}" for end in ("ct-denoise", "regions", "simulated")
             for suffix in (".dcm", ".nii", ".tif")}  # fmt: skip
    for name in names:
        save_file(tmp_path / "in" / name)
    found, told = planned(capsys, verb, tmp_path / "in")
    assert found == names
    assert not told


def test_a_result_that_is_named_or_alone_is_used(tmp_path: Path, capsys: Output) -> None:
    save_study(tmp_path / "in")
    call("restore", tmp_path / "in", "-r", "--threads", 1)
    for name in ("a_ct-denoise.dcm", "CT_ct-denoise", "c_ct-denoise.tif"):
        found, told = planned(capsys, "restore", tmp_path / "in" / name)
        assert len(found) == 1
        assert not told
    call("restore", tmp_path / "in", "-r", "-o", tmp_path / "done", "--threads", 1)
    found, told = planned(capsys, "segment", tmp_path / "done")
    assert len(found) == 5
    assert not told


def test_a_series_that_is_named_by_its_identifier_is_used(tmp_path: Path, capsys: Output) -> None:
    save_ct(tmp_path / "in" / "CT")
    call("restore", tmp_path / "in", "-r", "--threads", 1)
    capsys.readouterr()
    call("info", tmp_path / "in" / "CT_ct-denoise", "--json")
    series = json.loads(capsys.readouterr().out)["series"]
    found, told = planned(capsys, "restore", tmp_path / "in", "--series-uid", series)
    assert found == {"CT_ct-denoise"}
    assert not told


def test_results_in_an_archive_are_left_out(tmp_path: Path, capsys: Output) -> None:
    save_ct(tmp_path / "in" / "CT")
    call("restore", tmp_path / "in", "-r", "--threads", 1)
    archive = Path(shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "in"))
    found, told = planned(capsys, "restore", archive)
    assert len(found) == len(told) == 1


def test_info_says_what_a_search_leaves_out(tmp_path: Path, capsys: Output) -> None:
    save_study(tmp_path / "in")
    call("restore", tmp_path / "in", "-r", "--threads", 1)
    names, _ = planned(capsys, "restore", tmp_path / "in")
    call("info", tmp_path / "in", "-r", "--json")
    facts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fits = {fact["name"] for fact in facts if "ct-denoise" in fact["tasks"]}
    assert (fits, len(facts)) == (names, 10)
    call("info", tmp_path / "in" / "a_ct-denoise.dcm", "--json")
    assert json.loads(capsys.readouterr().out)["tasks"] == ["ct-denoise"]


def test_a_run_beside_the_inputs_is_continued(tmp_path: Path, capsys: Output) -> None:
    save_study(tmp_path / "in")
    words = (tmp_path / "in", "-r", "--threads", 1, "--manifest", tmp_path / "m.json")
    call("restore", *words)
    before = sorted(path.name for path in (tmp_path / "in").rglob("*"))
    call("restore", *words, "--resume")
    call("restore", *words[:-2], "--if-exists", "skip")
    assert sorted(path.name for path in (tmp_path / "in").rglob("*")) == before
