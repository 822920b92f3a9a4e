"""`rat evaluate` over many scans: processes, manifest, resuming and failures."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from alike import alike
from scipy.ndimage import gaussian_filter

from ratcli.batch import evaluating
from ratcli.cli.app import main
from ratcli.evaluation.given_regions import Disc

SIDE, SCANS = 64, 3
Run = Callable[..., int]


def _save(path: Path, volume: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    image = nibabel.Nifti1Image(volume.astype(np.float32), np.diag([-0.8, -0.8, 3.0, 1.0]))
    nibabel.save(image, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three restored scans in `out`, and their references in `full`."""
    plane = np.full((SIDE, SIDE), -1000.0)
    plane[Disc(32, 32, 26).mask(plane.shape)] = 40.0
    clean = np.repeat(gaussian_filter(plane, 0.8)[..., None], 2, axis=2)
    for number in range(SCANS):
        noise = np.random.default_rng(number).normal(0.0, 10.0, clean.shape)
        _save(tmp_path / "out" / f"p{number}_ct-denoise.nii.gz", clean + noise)
        _save(tmp_path / "full" / f"p{number}.nii.gz", clean)
    return tmp_path


@pytest.fixture
def rat(folder: Path) -> Run:
    def run(*words: object) -> int:
        scans = [folder / "out", "--reference", folder / "full", "--unit", "HU"]
        return main(["evaluate", *map(str, (*scans, *words)), "-q"])

    return run


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each scan that is measured in this process."""
    calls: list[int] = []
    measure = evaluating.evaluate

    def counted(*words: object) -> object:
        calls.append(len(calls))
        return measure(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluating, "evaluate", counted)
    return calls


def _spoil(folder: Path, number: int) -> bytes:
    """Replace a reference by one of another size, and return what it held."""
    path = folder / "full" / f"p{number}.nii.gz"
    content = path.read_bytes()
    _save(path, np.zeros((SIDE, SIDE, 5)))
    return content


def _scans(table: Path) -> list[str]:
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return sorted({row["scan"] for row in rows})


def _cells(table: Path) -> list[list[object]]:
    """Return the cells of all rows, numbers as such."""

    def value(cell: str) -> object:
        try:
            return float(cell)
        except ValueError:
            return cell

    return [[value(cell) for cell in line.split(",")] for line in table.read_text().splitlines()]


def test_two_processes_give_the_same_table_as_one(rat: Run, folder: Path) -> None:
    tables = [folder / f"{jobs}.csv" for jobs in (1, 2)]
    for jobs, table in enumerate(tables, start=1):
        assert rat("--jobs", jobs, "--csv", table, "--report", folder / f"pages{jobs}") == 0
    assert alike(*map(_cells, tables))
    names = [sorted(page.name for page in (folder / f"pages{jobs}").iterdir()) for jobs in (1, 2)]
    assert names[0] == names[1]
    assert len(names[0]) == SCANS + 1


def test_resuming_after_a_failure_measures_only_what_is_missing(
    rat: Run, folder: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--manifest", folder / "run.json", "--resume", "--csv", folder / "all.csv", "--json")
    content = _spoil(folder, 1)
    assert rat(*words) == 8
    assert len(measured) == SCANS - 1
    first = capsys.readouterr().out.splitlines()
    (folder / "full" / "p1.nii.gz").write_bytes(content)
    assert rat(*words) == 0
    assert len(measured) == SCANS
    second = capsys.readouterr().out.splitlines()
    assert set(first[:-1]) < set(second)
    assert _scans(folder / "all.csv") == [f"p{number}_ct-denoise" for number in range(SCANS)]
    assert json.loads(second[-1])["summary"][0]["patients"] == SCANS


def test_resuming_after_an_interruption_measures_only_what_is_missing(
    rat: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, measured: list[int]
) -> None:
    words = ("--manifest", folder / "run.json", "--resume", "--csv", folder / "all.csv")
    counted = evaluating.evaluate

    def stopped(*parts: object) -> object:
        if len(measured) == 2:
            raise KeyboardInterrupt
        return counted(*parts)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(evaluating, "evaluate", stopped)
        assert rat(*words) == 130
    assert rat(*words) == 0
    assert len(measured) == SCANS
    assert len(_scans(folder / "all.csv")) == SCANS


def test_a_reference_that_changed_is_compared_again(
    rat: Run, folder: Path, measured: list[int]
) -> None:
    words = ("--manifest", folder / "run.json", "--resume")
    assert rat(*words) == 0
    _save(folder / "full" / "p2.nii.gz", np.zeros((SIDE, SIDE, 2)))
    assert rat(*words) == 0
    assert len(measured) == SCANS + 1


def test_a_page_that_is_missing_is_made_again(rat: Run, folder: Path, measured: list[int]) -> None:
    words = ("--manifest", folder / "run.json", "--resume", "--report", folder / "pages")
    assert rat(*words) == 0
    (folder / "pages" / "p0_ct-denoise.html").unlink()
    assert rat(*words) == 0
    assert len(measured) == SCANS + 1
    assert len(list((folder / "pages").iterdir())) == SCANS + 1


def test_other_settings_do_not_continue_a_batch(
    rat: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--manifest", folder / "run.json", "--resume")
    assert rat(*words) == 0
    assert rat(*words, "--window", "ct-lung") == 2
    assert "was made with window = None, but now it is ct-lung" in capsys.readouterr().err


def test_a_manifest_of_another_batch_is_not_replaced(rat: Run, folder: Path) -> None:
    assert rat("--manifest", folder / "run.json") == 0
    assert rat("--manifest", folder / "run.json") == 5


def test_if_every_scan_fails_for_the_same_reason_the_exit_code_is_that_of_the_reason(
    rat: Run, folder: Path
) -> None:
    for number in range(SCANS):
        _spoil(folder, number)
    assert rat() == 4


def test_the_first_failure_may_end_the_batch(rat: Run, folder: Path, measured: list[int]) -> None:
    _spoil(folder, 0)
    assert rat("--fail-fast") != 0
    assert len(measured) < SCANS - 1


def test_scans_of_one_subject_are_one_patient(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("sub-1_ses-1", "sub-1_ses-2", "sub-2_ses-1")):
        (folder / "out" / f"p{number}_ct-denoise.nii.gz").rename(folder / "out" / f"{name}.nii.gz")
        (folder / "full" / f"p{number}.nii.gz").rename(folder / "full" / f"{name}.nii.gz")
    words = [folder / "out", "--reference", folder / "full", "--unit", "HU", "--json", "-q"]
    assert main(["evaluate", *map(str, words)]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]
    assert {row["patients"] for row in summary} == {2}


def test_a_dry_run_measures_and_writes_nothing(
    rat: Run, folder: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    assert rat("--dry-run", "--csv", folder / "all.csv", "--report", folder / "pages") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"p{number}_ct-denoise -> p{number}_ct-denoise.html" for number in range(SCANS)
    ]
    assert measured == []
    assert sorted(folder.rglob("*")) == before


def test_a_dry_run_finds_scans_that_do_not_belong_together(rat: Run, folder: Path) -> None:
    _spoil(folder, 1)
    assert rat("--dry-run") == 8
