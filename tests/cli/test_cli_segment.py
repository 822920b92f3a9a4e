"""`rat segment` as users meet it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile

from ratcli.cli.app import main
from ratcli.formats import open_scan
from ratcli.formats.regions import open_regions
from ratcli.partition import get_partitioner
from ratcli.tasks import get_task

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A NIfTI stack in HU: a ball of water that moves through air."""
    y, x, z = np.mgrid[:48, :40, :4]
    inside = (y - 24) ** 2 + (x - 15 - 2 * z) ** 2 < 100
    path = tmp_path / "ball.nii.gz"
    image = nib.Nifti1Image(np.where(inside, 0, -1000).astype(np.int16), np.diag([2, 2, 3, 1]))
    nib.save(image, path)
    return path


def segment(*words: object) -> int:
    return main(["segment", *map(str, words), "--threads", "1"])


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_region_map_stands_beside_its_scan(scan: Path, capsys: Output) -> None:
    assert segment(scan, "--unit", "HU") == 0
    assert names(scan.parent) == ["ball.nii.gz", "ball_regions.nii.gz"]
    made = nib.load(scan.parent / "ball_regions.nii.gz")
    assert np.array_equal(made.affine, nib.load(scan).affine)
    assert np.unique(np.asarray(made.dataobj)).tolist() == [1, 2, 3]  # air, edge, water
    told = capsys.readouterr()
    assert told.out == ""
    assert "ball.nii.gz -> ball_regions.nii.gz (4 planes" in told.err


def test_regions_in_the_file_are_those_of_the_partitioner(tmp_path: Path) -> None:
    source = EXAMPLES / "ct_phantom.dcm"
    assert segment(source, "-o", tmp_path / "r.dcm") == 0
    task, partitioner = get_task("ct-denoise"), get_partitioner("superpixel-coarse")
    with open_scan(source) as reader, open_regions(tmp_path / "r.dcm", reader) as regions:
        expected = partitioner.partition(task.normalise(reader.read(0)))
        found = regions.regions(0)
    assert np.array_equal(found.labels, expected.labels)
    assert found.count > 2


def test_a_series_gives_one_seg(tmp_path: Path) -> None:
    assert segment(EXAMPLES / "ct_series", "-o", tmp_path) == 0
    (made,) = tmp_path.iterdir()
    assert made.name == "ct_series_regions.dcm"
    assert pydicom.dcmread(made).Modality == "SEG"


@pytest.mark.parametrize("kind", ["nifti", "tiff"])
def test_the_format_can_be_chosen(tmp_path: Path, kind: str) -> None:
    assert segment(EXAMPLES / "ct_phantom.dcm", "--format", kind, "-o", tmp_path) == 0
    assert names(tmp_path) == [
        {"nifti": "ct_phantom_regions.nii.gz", "tiff": "ct_phantom_regions.tif"}[kind]
    ]


def test_pictures_and_table_stand_beside_the_map(scan: Path) -> None:
    out = scan.parent / "out"
    assert segment(scan, "--unit", "HU", "--preview", "--table", "-o", out) == 0
    assert names(out) == [
        "ball_regions.csv",
        "ball_regions.nii.gz",
        "ball_regions_preview",
        *(f"ball_regions_preview/{n}.png" for n in (1, 2, 3, 4)),
    ]
    picture = imagecodecs.png_decode((out / "ball_regions_preview" / "1.png").read_bytes())
    assert picture.shape[2] == 3
    with (out / "ball_regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert sum(int(row["pixels"]) for row in rows) == 48 * 40 * 4
    assert {row["unit"] for row in rows} == {"HU"}
    assert float(rows[0]["area_mm2"]) == 4 * int(rows[0]["pixels"])
    assert abs(max(float(row["mean"]) for row in rows)) < 150


def test_a_scan_is_mapped_by_the_task_that_fits_it(tmp_path: Path, capsys: Output) -> None:
    y, x = np.mgrid[:48, :40]
    pet = np.where((y - 24) ** 2 + (x - 20) ** 2 < 100, 8.0, 0.5).astype(np.float32)
    nib.save(nib.Nifti1Image(pet[..., None], np.diag([4, 4, 4, 1])), tmp_path / "pet.nii.gz")
    assert segment(tmp_path / "pet.nii.gz") == 2
    assert "Is it for pet-synthesis?" in capsys.readouterr().err
    assert segment(tmp_path / "pet.nii.gz", "--unit", "SUV", "--json") == 0
    assert json.loads(capsys.readouterr().out)["partition"] == get_task("pet-synthesis").partition


def test_propagated_regions_keep_their_number(scan: Path) -> None:
    out = scan.parent / "r.nii.gz"
    assert segment(scan, "--unit", "HU", "--propagate", "-o", out) == 0
    labels = np.asarray(nib.load(out).dataobj)
    assert len({int(labels[24, 15 + 2 * z, z]) for z in range(4)}) == 1
    assert len({int(labels[0, 0, z]) for z in range(4)}) == 1


def test_a_cache_gives_the_same_map(scan: Path) -> None:
    folder = scan.parent
    for name in ("a.nii.gz", "b.nii.gz"):
        words = ("--unit", "HU", "--cache", folder / "cache", "-o", folder / name)
        assert segment(scan, *words) == 0
    assert (folder / "a.nii.gz").read_bytes() == (folder / "b.nii.gz").read_bytes()
    assert len(names(folder / "cache")) == 4


def test_rgb_is_segmented_as_pathology(tmp_path: Path) -> None:
    picture = np.full((64, 64, 3), 240, np.uint8)
    picture[16:48, 16:48] = (90, 40, 120)
    tifffile.imwrite(tmp_path / "he.tif", picture, photometric="rgb")
    assert segment(tmp_path / "he.tif") == 0
    labels = tifffile.imread(tmp_path / "he_regions.tif")
    assert labels[32, 32] != labels[2, 2]


def test_json_tells_figures(scan: Path, capsys: Output) -> None:
    assert segment(scan, "--unit", "HU", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["regions"] == 3
    assert told["partition"] == "superpixel-coarse"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--unit", "HU", "-o", "x.dcm"), 2, "the region map is nifti"),
        (("--unit", "HU", "--format", "dicom"), 2, "needs a DICOM scan"),
        (("--unit", "HU", "--partition", "superpixl"), 2, "Did you mean superpixel"),
        (("--unit", "HU", "--partition", "sam-vit-b"), 7, "rat weights download sam-vit-b"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_written(
    scan: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, words, code, sentence
) -> None:
    monkeypatch.setenv("RAT_HOME", str(scan.parent))
    monkeypatch.chdir(scan.parent)
    assert segment(scan, *words) == code
    assert sentence in capsys.readouterr().err
    assert names(scan.parent) == ["ball.nii.gz"]


def test_two_scans_that_meet_in_one_map_are_refused(scan: Path, capsys: Output) -> None:
    tifffile.imwrite(scan.parent / "ball.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    assert segment(scan, scan.parent / "ball.tif", "--unit", "HU", "--format", "tiff") == 5
    assert "would both be written" in capsys.readouterr().err


def test_a_map_that_is_there_is_kept(scan: Path, capsys: Output) -> None:
    (scan.parent / "ball_regions.nii.gz").write_bytes(b"kept")
    assert segment(scan, "--unit", "HU") == 5
    assert (scan.parent / "ball_regions.nii.gz").read_bytes() == b"kept"
    assert segment(scan, "--unit", "HU", "--if-exists", "overwrite") == 0
    capsys.readouterr()
    assert nib.load(scan.parent / "ball_regions.nii.gz").shape == (48, 40, 4)


def test_a_scan_whose_regions_take_too_much_memory_is_refused(
    tmp_path: Path, capsys: Output
) -> None:
    path = tmp_path / "large.nii"
    nib.save(nib.Nifti1Image(np.zeros((1024, 1024, 1), np.int16), np.eye(4)), path)
    words = (path, "--unit", "HU", "--partition", "none")
    assert segment(*words, "--memory", "150MB") == 6
    said = capsys.readouterr().err
    assert (
        "0.15 GB is too little to find the regions of this scan. It needs at least 0.2 GB" in said
    )
    assert segment(*words, "--memory", "much") == 2
    assert names(tmp_path) == ["large.nii"]
    assert segment(*words, "--memory", "0.3GB") == 0
