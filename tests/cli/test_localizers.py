"""Localizers (scouts) are left out and told, unless the user wants them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ratcli.cli.app import main
from tests.formats.dicom_scans import (
    dicom_dataset,
    open_dicom,
    save_dicom,
    save_directory,
    set_elements,
    uid,
)

SCOUT = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
LEFT_OUT = "scout0.dcm was left out: it is a localizer (scout); --include-localizers keeps it"
REFUSED = "localizers (scouts) are left out without --include-localizers"
VERBS = ["restore", "segment", "simulate"]


def save_slices(folder: Path, name: str, count: int, size: int = 48, **changes: object) -> Path:
    for number in range(count):
        values = np.random.default_rng(number).normal(1024, 20, (size, size))
        values[:10] -= 1000  # air
        place = ["0", "0", str(2 * number)]
        dataset = dicom_dataset(values, InstanceNumber=number + 1, ImagePositionPatient=place)
        set_elements(dataset, SOPInstanceUID=uid(name, number), SeriesInstanceUID=uid(name))
        set_elements(dataset, PixelSpacing=["0.7", "0.7"], **changes)
        save_dicom(dataset, folder / f"{name}{number}.dcm")
    return folder


def save_study(folder: Path, **of_scout: object) -> Path:
    """Write three slices and a localizer into one folder."""
    save_slices(folder, "slice", 3)
    return save_slices(folder, "scout", 1, ImageType=SCOUT, **of_scout)


def of_its_own(folder: Path) -> Path:
    return save_study(folder)


def of_the_same_series(folder: Path) -> Path:
    """Write a localizer with the size, the direction and the series of the slices."""
    return save_study(folder, SeriesInstanceUID=uid("slice"))


def of_another_direction(folder: Path) -> Path:
    coronal = ["1", "0", "0", "0", "0", "-1"]
    series = uid("slice")
    return save_study(folder, ImageOrientationPatient=coronal, SeriesInstanceUID=series)


def listed_in_a_directory(folder: Path) -> Path:
    names = sorted(path.name for path in save_study(folder).iterdir())
    return save_directory(folder, [[name] for name in names])


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "study", [of_its_own, of_the_same_series, of_another_direction, listed_in_a_directory]
)
def test_a_localizer_beside_slices_is_left_out_and_told(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str], verb: str, study: object
) -> None:
    path = study(tmp_path / "in")  # type: ignore[operator]
    assert main([verb, str(path), "-t", "ct-denoise", "--dry-run", "--json"]) == 0
    told = capsys.readouterr()
    outcomes = {line["status"]: line for line in map(json.loads, told.out.splitlines())}
    assert outcomes["left out"]["error"] == LEFT_OUT
    assert outcomes["planned"]["input"].startswith("in")
    assert told.err.count(LEFT_OUT) == 1
    assert "sizes or directions" not in told.err


def test_the_manifest_keeps_that_a_localizer_was_left_out(
    tmp_path: Path, tiny_weights: Path
) -> None:
    folder, manifest = save_study(tmp_path / "in"), tmp_path / "batch.json"
    command = ["restore", str(folder), "-t", "ct-denoise", "-o", str(tmp_path / "out")]
    command += ["--manifest", str(manifest), "--threads", "1", "--partition", "none"]
    assert main(command) == 0
    records = {record["status"]: record for record in json.loads(manifest.read_text())["files"]}
    assert records["left out"]["error"] == LEFT_OUT
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3
    assert main([*command, "--resume"]) == 0


@pytest.mark.parametrize("verb", [*VERBS, "evaluate"])
@pytest.mark.parametrize("name", ["", "scout0.dcm"])
def test_a_localizer_that_is_named_is_refused_with_the_option(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str], verb: str, name: str
) -> None:
    folder = save_slices(tmp_path / "in", "scout", 2, ImageType=SCOUT)
    task = ["-t", "ct-denoise"] if verb != "evaluate" else []
    command = [verb, str(folder / name), *task, "--dry-run"]
    assert main(command) == 4
    assert REFUSED in capsys.readouterr().err
    assert main([*command, "--include-localizers"]) == 0
    assert "the image is a localizer (scout), not a slice" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_localizers_beside_slices_are_included_on_request(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    folder = of_the_same_series(tmp_path / "in")
    command = [verb, str(folder), "-t", "ct-denoise", "--dry-run", "--include-localizers", "--json"]
    assert main(command) == 0
    statuses = [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()]
    assert statuses == ["planned", "planned"]


@pytest.mark.parametrize("how", [[], ["--header-only"]])
def test_info_says_that_a_localizer_would_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: list[str]
) -> None:
    folder = save_study(tmp_path / "in")
    command = ["info", str(folder), "--json", *how]

    def tasks() -> dict[str, list[str]]:
        found = map(json.loads, capsys.readouterr().out.splitlines())
        facts = {one["name"]: one for one in found}
        for item in facts["scout0.dcm"]["restore"]:
            assert item["fits"] is (facts["scout0.dcm"]["tasks"] == [item["task"]])
        return {name: one["tasks"] for name, one in facts.items()}

    assert main(command) == 0
    assert tasks() == {"in": ["ct-denoise"], "scout0.dcm": []}
    assert main([*command, "--include-localizers"]) == 0
    assert tasks() == {"in": ["ct-denoise"], "scout0.dcm": ["ct-denoise"]}


def test_evaluate_compares_the_slices_and_leaves_localizers_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_study(tmp_path / "in")
    command = ["evaluate", str(folder), "--reference", str(folder), "--json"]
    assert main([*command, "--manifest", str(tmp_path / "batch.json")]) == 0
    told = capsys.readouterr()
    assert told.err.count(LEFT_OUT) == 1
    assert len(told.out.splitlines()) == 1


def test_training_data_hold_no_localizers(tmp_path: Path) -> None:
    from ratcli.training.data import find_patients

    save_study(tmp_path / "patient")
    found = find_patients(tmp_path)
    assert [scan.source.is_localizer for scan in found] == [False]  # type: ignore[union-attr]


def test_a_reader_says_that_a_scan_is_a_localizer(tmp_path: Path) -> None:
    scout = save_dicom(dicom_dataset(np.full((6, 6), 40), ImageType=SCOUT), tmp_path / "a.dcm")
    assert open_dicom(scout).info.is_localizer
    assert "a localizer (scout)" in open_dicom(scout).info.notices[0]
