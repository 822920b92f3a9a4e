"""`rat evaluate --detectability` on folders of images with and without discs."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import nibabel
import numpy as np
import pytest

import ratcli
from ratcli.cli.app import main
from ratcli.errors import InputNotFoundError, MeasurementError, UnsuitableInputError, UsageError
from ratcli.evaluation.given_regions import Disc

# In the middle, where it stays if a plane is turned.
DISC, SD, CONTRAST = Disc(31.5, 39.5, 4.0), 20.0, 12.0
REPEATS = 60


def phantom(folder: Path, sd: float = SD, repeats: int = REPEATS, spacing_mm: float = 0.8) -> Path:
    """Write noise with and without a disc as stacks of planes."""
    rng = np.random.default_rng(round(sd))
    for kind, height in (("signal_present", CONTRAST), ("signal_absent", 0.0)):
        (folder / kind).mkdir(parents=True)
        planes = rng.normal(0, sd, (repeats, 64, 80)) + height * DISC.coverage((64, 80))
        affine = np.diag([spacing_mm, spacing_mm, 3.0, 1.0])
        image = nibabel.Nifti1Image(planes.T.astype(np.float32), affine)
        nibabel.save(image, folder / kind / "planes.nii.gz")
    return folder


@pytest.fixture
def discs(tmp_path: Path) -> Path:
    path = tmp_path / "discs.json"
    region = {"name": "faint", "disc": [DISC.row, DISC.column, DISC.radius]}
    path.write_text(json.dumps({"regions": [region]}))
    return path


def test_d_prime_of_a_disc_in_white_noise_is_its_closed_form(tmp_path: Path, discs: Path) -> None:
    closed = CONTRAST / SD * math.sqrt((DISC.coverage((64, 80)) ** 2).sum())
    (one,) = ratcli.evaluate(
        [phantom(tmp_path / "dose")], detectability=True, regions=discs, unit="HU"
    )
    rows = {row.observer: row for row in one.found.detectability}
    assert set(rows) == {"CHO LG", "CHO DOG"}
    for row in rows.values():
        assert row.found.low < closed < row.found.high
        assert row.found.repeats == REPEATS
        assert row.diameter_mm == pytest.approx(6.4, rel=0.01)
        assert row.contrast == pytest.approx(CONTRAST, abs=3 * SD / math.sqrt(50 * REPEATS / 2))


def test_input_and_reference_are_measured_beside_the_restored_images(
    tmp_path: Path, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(phantom(tmp_path / name, sd)) for name, sd in (("a", 15), ("b", 30), ("c", 8))]
    words = ["evaluate", paths[0], "--input", paths[1], "--reference", paths[2], "--json", "-q"]
    words += ["--detectability", "--regions", str(discs)]
    words += ["--csv", str(tmp_path / "rows.csv"), "--report", str(tmp_path / "page.html")]
    assert main(words) == 0
    rows = json.loads(capsys.readouterr().out)["detectability"]
    found = {row["image"]: row["found"]["d_prime"] for row in rows if row["observer"] == "CHO LG"}
    assert found["input"] < found["restored"] < found["reference"]
    with (tmp_path / "rows.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert float(listed[0]["d_prime"]) == pytest.approx(rows[0]["found"]["d_prime"])
    assert "Detectability" in (tmp_path / "page.html").read_text()


def test_internal_noise_lowers_d_prime(tmp_path: Path, discs: Path) -> None:
    folder = phantom(tmp_path / "dose")
    free, noisy = (
        ratcli.evaluate([folder], detectability=True, regions=discs, internal_noise=share)
        for share in (0.0, 3.0)
    )
    pairs = zip(free[0].found.detectability, noisy[0].found.detectability, strict=True)
    assert all(b.found.d_prime == pytest.approx(a.found.d_prime / 2) for a, b in pairs)


def test_a_folder_without_both_kinds_is_refused(tmp_path: Path, discs: Path) -> None:
    folder = phantom(tmp_path / "dose")
    (folder / "signal_absent" / "planes.nii.gz").unlink()
    with pytest.raises(InputNotFoundError):
        ratcli.evaluate([folder], detectability=True, regions=discs)
    (folder / "signal_absent").rmdir()
    with pytest.raises(InputNotFoundError, match="signal_present and signal_absent"):
        ratcli.evaluate([folder], detectability=True, regions=discs)


def test_discs_must_be_given(tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text('{"regions": [{"name": "box", "box": [1, 1, 5, 5]}]}')
    for regions in (None, boxes):
        with pytest.raises(UsageError, match="places of the discs"):
            ratcli.evaluate(
                [phantom(tmp_path / str(regions is None))], detectability=True, regions=regions
            )


def test_a_disc_at_the_border_and_too_few_images_are_refused(tmp_path: Path, discs: Path) -> None:
    with pytest.raises(MeasurementError, match="too few"):
        ratcli.evaluate([phantom(tmp_path / "few", repeats=3)], detectability=True, regions=discs)
    discs.write_text('{"regions": [{"name": "edge", "disc": [5, 40, 4]}]}')
    with pytest.raises(MeasurementError, match="border"):
        ratcli.evaluate([phantom(tmp_path / "dose")], detectability=True, regions=discs)


def test_images_of_another_spacing_are_refused(tmp_path: Path, discs: Path) -> None:
    folder, other = phantom(tmp_path / "a"), phantom(tmp_path / "b", spacing_mm=0.9)
    (other / "signal_absent" / "planes.nii.gz").replace(folder / "signal_absent" / "planes.nii.gz")
    with pytest.raises(UnsuitableInputError, match="differ"):
        ratcli.evaluate([folder], detectability=True, regions=discs)


def test_an_existing_page_is_not_overwritten(tmp_path: Path, discs: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    words = ["evaluate", str(phantom(tmp_path / "a")), "--detectability", "--regions", str(discs)]
    assert main([*words, "--report", str(page), "-q"]) == 5
    assert page.read_text() == "mine"
