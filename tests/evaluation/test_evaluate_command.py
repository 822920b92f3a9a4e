from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile
from dicom_series import write_ct
from scipy.ndimage import gaussian_filter

from ratcli.cli import app
from ratcli.evaluation.given_regions import Disc

SIDE = 96
Run = Callable[..., int]


@pytest.fixture
def rat() -> Run:
    def run(*words: object) -> int:
        return app.main(["evaluate", *map(str, words)])

    return run


def _save(folder: Path, name: str, volume: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.nii.gz"
    nib.save(nib.Nifti1Image(volume.astype(np.float32), np.diag([-0.8, -0.8, 3.0, 1.0])), path)
    return path


def _volume() -> np.ndarray:
    """Columns, rows, planes: a body with an organ, in HU."""
    plane = np.full((SIDE, SIDE), -1000.0)
    plane[Disc(48, 48, 40).mask(plane.shape)] = 0.0
    plane[Disc(44, 40, 14).mask(plane.shape)] = 90.0
    return np.repeat(gaussian_filter(plane, 0.8)[..., None], 2, axis=2)


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 15.0, (SIDE, SIDE, 2))


@pytest.fixture
def scans(tmp_path: Path) -> dict[str, Path]:
    clean, noise = _volume(), _noise(0)
    return {
        "restored": _save(tmp_path, "scan_ct-denoise", clean + 0.3 * noise),
        "reference": _save(tmp_path / "full", "scan", clean),
        "input": _save(tmp_path / "low", "scan", clean + noise),
    }


def _flags(scans: dict[str, Path]) -> list[object]:
    return [
        scans["restored"], "--reference", scans["reference"], "--input", scans["input"],
        "--unit", "HU",
    ]  # fmt: skip


def test_json_is_one_object_on_stdout_and_tables_go_to_stderr(
    rat: Run, scans: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert rat(*_flags(scans), "--json") == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content["scan"] == "scan_ct-denoise"
    assert {row["image"] for row in content["fidelity"]} == {"restored", "input"}
    assert "PSNR in dB" in err
    assert "residual" in err


def test_csv_has_a_row_a_plane_and_region(rat: Run, scans: dict[str, Path], tmp_path: Path) -> None:
    table = tmp_path / "figures.csv"
    regions = tmp_path / "regions.json"
    regions.write_text('{"regions": [{"name": "organ", "disc": [40, 44, 9]}]}')
    assert rat(*_flags(scans), "--regions", regions, "--csv", table, "-q") == 0
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    organ = [row for row in rows if row["region"] == "organ"]
    assert [row["plane"] for row in organ] == ["1", "2", "all"]
    assert float(organ[0]["mean"]) == pytest.approx(90.0, abs=2.0)


def test_a_label_map_names_regions_by_number(
    rat: Run, scans: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.zeros((SIDE, SIDE, 2))
    labels[Disc(44, 40, 9).mask((SIDE, SIDE))] = 7
    path = _save(tmp_path / "labels", "organ", labels)
    assert rat(*_flags(scans), "--regions", path, "--json", "-q") == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)["regions"]}
    assert names == {"region 7"}


def test_a_report_is_written_and_not_overwritten(
    rat: Run, scans: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert rat(*_flags(scans), "--report", page) == 0
    text = page.read_text(encoding="utf-8")
    assert "scan_ct-denoise" in text
    assert str(tmp_path) not in text
    assert rat(*_flags(scans), "--report", page) == 5
    assert "report.html" in capsys.readouterr().err
    assert rat(*_flags(scans), "--report", page, "--if-exists", "overwrite") == 0


def test_several_scans_give_an_index_and_a_summary_over_patients(
    rat: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        clean, noise = _volume() + 2.0 * number, _noise(number)
        _save(tmp_path / "out", f"p{number}_ct-denoise", clean + 0.3 * noise)
        _save(tmp_path / "full", f"p{number}", clean)
    words = [tmp_path / "out", "--reference", tmp_path / "full", "--unit", "HU"]
    assert rat(*words, "--json", "--report", tmp_path / "reports") == 0
    out, err = capsys.readouterr()
    summary = json.loads(out.splitlines()[-1])["summary"]
    assert all(row["patients"] == 3 for row in summary)
    row = next(row for row in summary if row["figure"] == "rmse" and "ct-full" in row["window"])
    assert row["low"] <= row["mean"] <= row["high"]
    assert "Over 3 patients" in err
    index = (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
    assert 'href="p1_ct-denoise.html"' in index
    assert (tmp_path / "reports" / "p1_ct-denoise.html").exists()


def test_one_bad_scan_does_not_stop_the_others(
    rat: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        _save(tmp_path / "out", f"p{number}_ct-denoise", _volume())
        size = _volume() if number else _volume()[:48]
        _save(tmp_path / "full", f"p{number}", size)
    code = rat(tmp_path / "out", "--reference", tmp_path / "full", "--unit", "HU", "--json")
    out, err = capsys.readouterr()
    assert code == 8
    assert json.loads(out.splitlines()[0])["scan"] == "p1_ct-denoise"
    assert "p0_ct-denoise: the reference has 2 planes" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--window", "5,1"], 2, "is not a window"),
        (["--baseline", "median"], 2, "no baseline 'median'"),
        (["--protocol", "rat-paper"], 2, "maps one window"),
        (["--regions", "missing.json"], 3, "missing.json does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(
    rat: Run,
    scans: dict[str, Path],
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert rat(*_flags(scans), *words) == code
    assert message in capsys.readouterr().err


def test_a_scan_without_its_reference_is_refused_before_work(
    rat: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path / "out", "a_ct-denoise", _volume())
    _save(tmp_path / "out", "b_ct-denoise", _volume())
    _save(tmp_path / "full", "a", _volume())
    assert rat(tmp_path / "out", "--reference", tmp_path / "full", "--unit", "HU") == 2
    assert "there is no reference for b_ct-denoise" in capsys.readouterr().err


def test_scans_of_one_name_are_compared_with_those_of_their_own_folder(
    rat: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, patient in enumerate(("p1", "p2")):
        volume = _volume() + 100 * number
        _save(tmp_path / "out" / patient, "ct", volume)
        _save(tmp_path / "full" / patient, "ct", volume)
    words = ("--reference", tmp_path / "full", "-r", "--unit", "HU", "--json")
    pages = tmp_path / "pages"
    assert rat(tmp_path / "out", *words, "--report", pages) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()[:2]]
    assert [one["scan"] for one in found] == ["p1/ct", "p2/ct"]
    assert {row["fidelity"]["rmse"] for one in found for row in one["fidelity"]} == {0.0}
    assert {page.name for page in pages.iterdir()} == {"index.html", "p1_ct.html", "p2_ct.html"}


def test_a_scan_with_two_references_is_refused_before_work(
    rat: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path / "out", "ct", _volume())
    for patient in ("p1", "p2"):
        _save(tmp_path / "full" / patient, "ct", _volume())
    assert rat(tmp_path / "out", "--reference", tmp_path / "full", "-r", "--unit", "HU") == 2
    assert "2 scans fit ct as its reference" in capsys.readouterr().err


def test_tuned_settings_are_read_from_a_file(
    rat: Run, scans: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = tmp_path / "gaussian.json"
    tuned.write_text('{"name": "gaussian", "settings": {"sigma_px": 1.1}, "window": "ct-soft"}')
    assert rat(*_flags(scans), "--baseline", tuned, "--json", "-q") == 0
    images = {row["image"] for row in json.loads(capsys.readouterr().out)["fidelity"]}
    assert "gaussian" in images


@pytest.mark.parametrize("suffix", [".nii.gz", ".tif"])
def test_values_that_can_only_be_hu_need_no_unit(
    rat: Run,
    scans: dict[str, Path],
    tmp_path: Path,
    suffix: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = _flags(scans)[:-2]
    if suffix == ".tif":
        for place, name in ((0, "restored.tif"), (2, "reference.tif"), (4, "input.tif")):
            planes = np.asarray(nib.load(words[place]).dataobj).T  # type: ignore[arg-type]
            tifffile.imwrite(tmp_path / name, planes.astype(np.float32))
            words[place] = tmp_path / name
    assert rat(*words, "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["unit"] == "HU"
    assert found["residual"]
    assert "the files contain no unit, but their values look like HU" in err


def test_values_that_could_be_anything_need_a_unit(
    rat: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = np.abs(_noise(0))
    scan = _save(tmp_path, "scan", volume)
    assert rat(scan, "--reference", _save(tmp_path, "full", volume)) == 4
    assert "Give --unit HU or --unit SUV" in capsys.readouterr().err


def test_what_restore_wrote_into_a_folder_is_found_and_paired(
    rat: Run, tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planes = _volume().T
    for place in ("low", "full", "study/p1/CT"):
        write_ct(tmp_path / place, planes)
    words = ["-t", "ct-denoise", "--partition", "none", "--threads", "1", "-q", "--save-residual"]
    one, many = tmp_path / "restored", tmp_path / "many"
    assert app.main(["restore", str(tmp_path / "low"), *words, "-o", str(one)]) == 0
    assert rat(one, "--reference", tmp_path / "full", "--input", tmp_path / "low", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["scan"] == "low"
    assert app.main(["restore", str(tmp_path / "study"), "-r", *words, "-o", str(many)]) == 0
    assert rat(many, "--input", tmp_path / "study", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["scan"] == "p1/CT"


def test_another_patient_is_named_as_such_without_who(
    rat: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        folder = write_ct(tmp_path / name, _volume().T)
        for file in folder.iterdir():
            image = pydicom.dcmread(file)
            image.PatientID = f"secret-{name}"
            image.save_as(file)
    assert rat(tmp_path / "one", "--reference", tmp_path / "two") == 0
    told = capsys.readouterr()
    assert "the reference is of another patient than the restored scan" in told.err
    assert "secret" not in told.out + told.err


def test_slices_of_one_patient_are_one_patient(
    rat: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        for place in ("out", "full"):
            folder = write_ct(tmp_path / place / f"ct{number}", _volume().T + number)
            for file in folder.iterdir():
                image = pydicom.dcmread(file)
                image.PatientID, image.SeriesInstanceUID = "secret", f"1.2.3.{number}"
                image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = (
                    f"{image.SOPInstanceUID[:50]}.{number}"
                )
                image.save_as(file)
    assert rat(tmp_path / "out", "--reference", tmp_path / "full") == 0
    told = capsys.readouterr().err
    assert "Over 1 patient (" in told
    assert "secret" not in told
