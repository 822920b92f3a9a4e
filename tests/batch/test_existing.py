"""What an output may replace: an older output of the same patient, study and images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from batch_scans import AddOne, Heard, make_scan
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from ratcli.batch.existing import IfExists
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Selection, find_jobs
from ratcli.batch.session import Batch, BatchSettings
from ratcli.cli.app import main
from tests.formats.dicom_scans import (
    dicom_dataset,
    pet_dataset,
    ramp,
    save_dicom,
    save_in,
    save_series,
    set_elements,
    uid,
)
from tests.formats.dicom_slides import picture, slide_dataset
from tests.formats.enhanced_scans import ENHANCED, enhanced_dataset

OTHERS = {
    "patient": {"PatientID": "OTHER-1", "SOPInstanceUID": uid("b"), "SeriesInstanceUID": uid("c")},
    "patient with the same identifiers": {"PatientID": "OTHER-1"},
    "patient without an ID": {"PatientID": "", "PatientName": "Other^Jim"},
    "study": {"StudyInstanceUID": uid("another study")},
    "series": {"SOPInstanceUID": uid("b"), "SeriesInstanceUID": uid("c")},
}
KINDS: dict[str, Callable[[], Dataset]] = {
    "classic": lambda: dicom_dataset(ramp()),
    "PET": pet_dataset,
    "enhanced": lambda: enhanced_dataset(*ENHANCED[0][:2]),
    "slide": lambda: slide_dataset(picture()),
    "without an identifier": lambda: dicom_dataset(ramp(), SOPInstanceUID=""),
}
EITHER: list[IfExists] = ["skip", "overwrite"]


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)


def run(source: Path, out: Path, if_exists: IfExists = "error") -> Outcome:
    plan = find_jobs([source], Selection("", out, recursive=True))
    (outcome,) = Batch(plan, Header(), BatchSettings(if_exists)).run(AddOne(), Heard())
    return outcome


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("if_exists", EITHER)
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_result_of_another_scan_of_the_same_name_is_kept(
    tmp_path: Path, kind: str, other: str, if_exists: IfExists
) -> None:
    mine = save_dicom(KINDS[kind](), tmp_path / "mine" / "IM1.dcm")
    dataset = KINDS[kind]()
    set_elements(dataset, **OTHERS[other])
    theirs = save_dicom(dataset, tmp_path / "theirs" / "IM1.dcm")
    assert run(theirs, tmp_path / "out").status == "done"
    before = content(tmp_path / "out")
    outcome = run(mine, tmp_path / "out", if_exists)
    assert (outcome.status, outcome.exit_code) == ("failed", 5)
    assert "IM1.dcm is not an older output of this scan" in outcome.error
    assert content(tmp_path / "out") == before
    assert run(theirs, tmp_path / "out", "overwrite").status == "done"
    assert run(theirs, tmp_path / "out", "skip").status == "skipped"


@pytest.mark.parametrize("if_exists", EITHER)
@pytest.mark.parametrize("other", OTHERS)
def test_the_result_of_another_series_of_the_same_name_is_kept(
    tmp_path: Path, other: str, if_exists: IfExists
) -> None:
    mine = save_series(tmp_path / "mine" / "CT", 3)
    theirs = shutil.copytree(mine, tmp_path / "theirs" / "CT")
    for number, path in enumerate(sorted(theirs.iterdir())):
        dataset = dicom_dataset(ramp(), **OTHERS[other])
        place = ["0", "0", str(number)]
        set_elements(dataset, InstanceNumber=number, ImagePositionPatient=place)
        if "SOPInstanceUID" in OTHERS[other]:
            dataset.SOPInstanceUID = uid("theirs", number)
        else:
            dataset.SOPInstanceUID = uid("CT", number)
        save_dicom(dataset, path)
    run(theirs, tmp_path / "out")
    before = content(tmp_path / "out")
    outcome = run(mine, tmp_path / "out", if_exists)
    assert (outcome.status, outcome.exit_code) == ("failed", 5)
    assert "CT holds what is not of this scan (slice1.dcm and 2 more)" in outcome.error
    assert content(tmp_path / "out") == before
    assert run(theirs, tmp_path / "out", "overwrite").status == "done"


@pytest.mark.parametrize("if_exists", EITHER)
@pytest.mark.parametrize("what", ["the scan itself", "a text"])
def test_what_rat_did_not_make_is_kept(tmp_path: Path, what: str, if_exists: IfExists) -> None:
    mine = save_dicom(dicom_dataset(ramp()), tmp_path / "mine" / "a.dcm")
    (tmp_path / "out").mkdir()
    if what == "a text":
        (tmp_path / "out" / "a.dcm").write_text("notes about a")
    else:
        shutil.copy(mine, tmp_path / "out" / "a.dcm")
    before = content(tmp_path / "out")
    assert run(mine, tmp_path / "out", if_exists).exit_code == 5
    assert content(tmp_path / "out") == before


def test_renamed_slices_replace_an_older_output(tmp_path: Path) -> None:
    mine = save_series(tmp_path / "CT", 3)
    run(mine, tmp_path / "out")
    for path in sorted(mine.iterdir()):
        path.rename(path.with_name(path.name.replace("slice", "image")))
    assert run(mine, tmp_path / "out", "overwrite").status == "done"
    assert sorted(content(tmp_path / "out")) == ["image1.dcm", "image2.dcm", "image3.dcm"]


@pytest.mark.parametrize("study", [uid("study"), "", "study-of-jane"])
def test_compression_and_the_study_of_the_source_do_not_matter(tmp_path: Path, study: str) -> None:
    dataset = dicom_dataset(ramp())
    set_elements(dataset, StudyInstanceUID=study)
    mine = save_dicom(dataset, tmp_path / "mine" / "a.dcm")
    run(mine, tmp_path / "out")
    save_in(dataset, mine, JPEG2000Lossless)
    assert run(mine, tmp_path / "out", "overwrite").status == "done"


def test_of_a_format_that_tells_no_patient_the_name_decides(tmp_path: Path) -> None:
    make_scan(tmp_path / "out" / "a.nii", seed=1)
    mine = make_scan(tmp_path / "mine" / "a.nii", seed=2)
    assert run(mine, tmp_path / "out", "overwrite").status == "done"


def test_a_dicom_file_is_not_replaced_by_a_scan_of_another_format(tmp_path: Path) -> None:
    save_dicom(dicom_dataset(ramp()), tmp_path / "out" / "a.nii")
    mine = make_scan(tmp_path / "mine" / "a.nii")
    assert run(mine, tmp_path / "out", "overwrite").exit_code == 5


@pytest.mark.parametrize("if_exists", EITHER)
@pytest.mark.parametrize("verb", ["restore", "segment", "simulate"])
def test_every_command_keeps_the_result_of_another_patient(
    tmp_path: Path,
    tiny_weights: Path,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    if_exists: IfExists,
) -> None:
    def call(patient: str, *more: str) -> int:
        values = np.random.default_rng(0).normal(1064, 20, (32, 32))
        dataset = dicom_dataset(values, PatientID=patient, SOPInstanceUID=uid(patient))
        set_elements(dataset, PixelSpacing=["0.7", "0.7"])
        scan = save_dicom(dataset, tmp_path / patient / "a.dcm")
        words = [verb, str(scan), "-t", "ct-denoise", "-o", str(tmp_path / "out"), *more]
        return main([*words, "--threads", "1"])

    assert call("A") == 0
    before = content(tmp_path / "out")
    assert call("B", "--if-exists", if_exists) == 5
    assert "is not an older output of this scan" in capsys.readouterr().err
    assert content(tmp_path / "out") == before
    assert call("A", "--if-exists", "overwrite") == 0
