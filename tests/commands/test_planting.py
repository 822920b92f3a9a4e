"""`rat evaluate --detectability` on a scan: discs are planted, and the study can be resumed."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ratcli.batch import planting
from ratcli.cli.app import main
from ratcli.evaluation.planted import PlantedDesign
from ratcli.pipeline.model import Model, RestoredPlane

pytestmark = pytest.mark.usefixtures("tiny_weights")
Output = pytest.CaptureFixture[str]


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A noisy water disc of 72 pixels; small patches, two discs."""
    monkeypatch.setattr(planting, "PATCH_PX", 32)
    planting.PlantedWork.load.cache_clear()
    design = PlantedDesign.__init__

    def small(self: PlantedDesign, *given: object, **more: object) -> None:
        design(self, *given, **{**more, "diameters_mm": (6.0,), "contrasts_hu": (10.0, 40.0)})

    monkeypatch.setattr(PlantedDesign, "__init__", small)

    def smoothed(model: Model, values: list[np.ndarray], *_: object) -> list[RestoredPlane]:
        return [RestoredPlane(gaussian_filter(v, (0, 2, 2)), 1, 0.0, 0.0) for v in values]

    monkeypatch.setattr(Model, "restore", smoothed)
    rows, columns = np.indices((80, 80)) - 39.5
    water = np.where(np.hypot(rows, columns) < 36, 30.0, -1000.0)
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 20, water.shape), 0.6)
    image = nibabel.Nifti1Image(
        (water + noise).astype(np.float32)[..., None], np.diag([2, 2, 3, 1])
    )
    nibabel.save(image, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def study(scan: Path, *words: object) -> int:
    given = ("--unit", "HU", "--detectability", "--repeats", 8, *words)
    return main(["evaluate", str(scan), *map(str, given)])


def test_a_study_gives_d_prime_and_the_dose_it_is_worth(scan: Path, capsys: Output) -> None:
    page, rows = scan.parent / "page.html", scan.parent / "rows.csv"
    assert study(scan, "--json", "--report", page, "--csv", rows, "--dose", 0.25) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert "8 repeats will take about" in told.err
    images = {(row["image"], row["dose"]) for row in found["detectability"]}
    assert images == {("input", dose) for dose in (0.1, 0.25, 0.5, 1.0)} | {
        (f"restored {name}", 0.25) for name in ("low", "medium", "high")
    }
    faint, clear = (
        [row["found"]["d_prime"] for row in found["detectability"] if row["contrast"] == contrast]
        for contrast in (10.0, 40.0)
    )
    assert sum(clear) > 2 * sum(faint)
    assert {row["signal"] for row in found["equivalences"]} == {
        "6 mm, 10 HU", "6 mm, 40 HU", "all clear discs",
    }  # fmt: skip
    assert "Restored high at 0.25 of the dose detects discs as the input at" in found["verdict"]
    assert "Dose equivalence" in page.read_text()
    assert "detects_as" in rows.read_text()


def test_a_study_that_was_stopped_goes_on_and_gives_the_same(
    scan: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = scan.parent / "study.json"
    assert study(scan, "--json", "-q") == 0
    whole = json.loads(capsys.readouterr().out)
    readouts, done = planting.Planted.readouts, []

    def stopped(planted: planting.Planted, repeat: int) -> object:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(repeat)
        return readouts(planted, repeat)

    with monkeypatch.context() as patch:
        patch.setattr(planting.Planted, "readouts", stopped)
        assert study(scan, "--manifest", manifest) == 130
    kept = [file for file in json.loads(manifest.read_text())["files"] if file["status"] == "done"]
    assert len(kept) == 3
    assert study(scan, "--json", "--manifest", manifest, "--resume") == 0
    told = capsys.readouterr()
    assert "5 repeats will take about" in told.err
    assert json.loads(told.out) == whole


def test_a_study_of_another_dose_does_not_go_on(scan: Path, capsys: Output) -> None:
    manifest = scan.parent / "study.json"
    assert study(scan, "-q", "--manifest", manifest) == 0
    assert study(scan, "-q", "--manifest", manifest, "--resume", "--dose", 0.5) == 2
    assert "dose" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("--dose", 1), 2, "doses must differ and be from 0.01 to below 1"),
        (("--dose", 0.2, "--dose", 0.2), 2, "doses must differ"),
        (("--weights", "pet-synthesis"), 7, "pet-synthesis, not ct-denoise"),
        (("--repeats", 2), 2, "--repeats must be"),
    ],
)
def test_what_cannot_be_studied_gets_one_sentence(
    scan: Path, capsys: Output, words: tuple[object, ...], code: int, expected: str
) -> None:
    assert study(scan, *words) == code
    assert expected in capsys.readouterr().err


def test_a_scan_without_a_uniform_place_or_noise_is_refused(scan: Path, capsys: Output) -> None:
    for values, expected in ((np.zeros((64, 64)), "no noise"), (np.indices((64, 64))[0], "no ")):
        image = nibabel.Nifti1Image(values.astype(np.float32)[..., None], np.diag([2, 2, 3, 1]))
        nibabel.save(image, scan)
        planting.PlantedWork.load.cache_clear()
        assert study(scan) == 4
        assert expected in capsys.readouterr().err


def test_a_scan_in_rectangular_pixels_or_of_pet_is_refused(scan: Path, capsys: Output) -> None:
    image = nibabel.load(scan)
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), np.diag([2, 3, 3, 1])), scan)
    assert study(scan) == 4
    assert "not square" in capsys.readouterr().err
