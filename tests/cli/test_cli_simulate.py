"""`rat simulate` as users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile

from ratcli.cli import app
from ratcli.physics.pathology import bicubic_downsample

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A slide larger than one tile of its quarter."""
    values = np.random.default_rng(0).integers(0, 256, (1100, 1046, 3), np.uint8)
    tifffile.imwrite(
        tmp_path / "slide.tif",
        values,
        photometric="rgb",
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
    )
    return tmp_path / "slide.tif"


def simulate(*words: object) -> int:
    return app.main(["simulate", *map(str, words), "--threads", "1"])


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_degraded_scan_says_what_it_is(tmp_path: Path) -> None:
    words = (EXAMPLES / "ct_phantom.dcm", "-t", "ct-denoise", "-o", tmp_path / "low.dcm")
    assert simulate(*words) == 0
    before, low = (pydicom.dcmread(p) for p in (EXAMPLES / "ct_phantom.dcm", tmp_path / "low.dcm"))
    assert low.ImageType[0] == "DERIVED"
    assert "simulated" in low.SeriesDescription
    assert "dose 0.25, seed 0" in low.DerivationDescription
    assert "DerivationCodeSequence" not in low
    assert low.SOPInstanceUID != before.SOPInstanceUID
    assert low.FrameOfReferenceUID == before.FrameOfReferenceUID
    assert low.PixelSpacing == before.PixelSpacing


def test_less_dose_is_more_noise_without_an_offset(tmp_path: Path, capsys: Output) -> None:
    reference = EXAMPLES / "ct_phantom_reference.dcm"
    before = pydicom.dcmread(reference)
    spread = {}
    for dose in (0.5, 0.1):
        path = tmp_path / f"{dose}.dcm"
        words = ("-t", "ct-denoise", "--dose", dose, "--scan-noise", 10, "-o", path)
        assert simulate(reference, *words) == 0
        added = pydicom.dcmread(path).pixel_array.astype(float) - before.pixel_array
        tissue = np.abs(before.pixel_array * before.RescaleSlope + before.RescaleIntercept) < 150
        spread[dose] = added[tissue].std()
        assert abs(added[tissue].mean()) < 1
    # Missing variance: 1 / d - 1 times that of the scan.
    assert spread[0.5] == pytest.approx(10, rel=0.1)
    assert spread[0.1] == pytest.approx(30, rel=0.1)
    assert capsys.readouterr().out == ""


def test_a_seed_gives_the_same_scan_again(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = ("-t", "ct-denoise", "--seed", seed, "-o", tmp_path / f"{name}.nii.gz")
        assert simulate(EXAMPLES / "ct_phantom.nii.gz", *words) == 0
    first, again, other = (np.asarray(nib.load(tmp_path / f"{n}.nii.gz").dataobj) for n in "abc")
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_series_comes_out_as_a_series(tmp_path: Path) -> None:
    assert simulate(EXAMPLES / "ct_series", "-t", "ct-denoise", "-o", tmp_path) == 0
    assert names(tmp_path) == ["ct_series", *[f"ct_series/slice_0{n}.dcm" for n in "1234"]]


def test_results_tell_what_was_found(tmp_path: Path, capsys: Output) -> None:
    words = ("-t", "ct-denoise", "--json", "-o", tmp_path / "low.dcm")
    assert simulate(EXAMPLES / "ct_phantom.dcm", *words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == "done"
    assert told["planes"] == 1
    assert told["scan_noise_hu"] > 1
    assert told["photons"] > 0


def test_a_slide_shrinks_by_bicubic_without_seams(slide: Path, tmp_path: Path) -> None:
    import torch

    assert simulate(slide, "-t", "pathology-sr") == 0
    with tifffile.TiffFile(tmp_path / "slide_simulated.tif") as tiff:
        low, page = tiff.asarray(), tiff.pages[0]
        assert page.tags["XResolution"].value[0] / page.tags["XResolution"].value[1] == 5000
    assert low.shape == (275, 261, 3)
    whole = torch.from_numpy(tifffile.imread(slide)[:, :1044]).permute(2, 0, 1)[None] / 255
    expected = bicubic_downsample(whole, 4)[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
    # The slide goes on beyond the last whole pixel; rounding is half a step.
    assert np.abs(low[:, :258] - expected[:, :258]).max() <= 0.501


def test_activity_is_thinned(tmp_path: Path) -> None:
    axis = np.arange(40) - 19.5
    disc = 2000 * (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 < 12**2)
    volume = np.repeat(disc, 2, 2).astype(np.float32)
    image = nib.Nifti1Image(volume, np.diag([4, 4, 4, 1]))
    nib.save(image, tmp_path / "pet.nii")
    words = ("-t", "pet-synthesis", "--unit", "Bq/ml", "--dose", 0.1, "--counts", 1e5)
    assert simulate(tmp_path / "pet.nii", *words) == 0
    low = np.asarray(nib.load(tmp_path / "pet_simulated.nii").dataobj)
    assert low.min() >= 0
    assert low.mean() == pytest.approx(volume.mean(), rel=0.05)
    assert (low - volume)[volume > 0].std() > 50


def test_a_kernel_of_the_header_and_a_small_pet_plane_are_told(
    tmp_path: Path, capsys: Output
) -> None:
    words = (EXAMPLES / "ct_phantom.dcm", "-t", "ct-denoise", "-o")
    assert simulate(*words, tmp_path / "a.dcm") == 0
    assert "the scan has the kernel MEDIUM SMOOTH, but its noise is" in capsys.readouterr().err
    assert simulate(*words, tmp_path / "b.dcm", "--kernel", "medium") == 0
    assert "kernel" not in capsys.readouterr().err
    for side, is_told in ((32, True), (128, False)):
        hot = np.full((side, side, 1), 2.0, np.float32)
        hot[: side // 2] = 0.1
        path = tmp_path / f"pet{side}.nii.gz"
        nib.save(nib.Nifti1Image(hot, np.diag([4.0, 4.0, 4.0, 1.0])), path)
        assert simulate(path, "-t", "pet-synthesis", "--unit", "SUV") == 0
        assert ("so that little noise is added" in capsys.readouterr().err) is is_told


def test_a_file_without_spacing_is_refused_until_it_is_told(tmp_path: Path, capsys: Output) -> None:
    values = np.full((48, 48), -1000, np.float32)
    values[8:40, 8:40] = 0
    tifffile.imwrite(tmp_path / "scan.tif", values)
    words = (tmp_path / "scan.tif", "-t", "ct-denoise", "--unit", "HU")
    assert simulate(*words) == 4
    assert "--spacing" in capsys.readouterr().err
    assert names(tmp_path) == ["scan.tif"]
    assert simulate(*words, "--spacing", 1.5) == 0


def test_the_wrong_modality_a_missing_task_and_a_bad_dose_are_one_sentence_each(
    slide: Path, capsys: Output
) -> None:
    for words, code, found in (
        ((slide, "-t", "ct-denoise"), 4, "3 channels"),
        ((slide,), 2, "no task"),
        ((slide, "-t", "pathology-sr", "--dose", 0), 2, "--dose"),
        ((EXAMPLES / "ct_phantom.dcm", "-t", "pathology-sr"), 4, "modality is CT"),
    ):
        assert simulate(*words) == code
        told = capsys.readouterr().err
        assert found in told
        assert told.count("\n") == 1


def test_an_output_that_exists_is_not_replaced(slide: Path, tmp_path: Path) -> None:
    assert simulate(slide, "-t", "pathology-sr") == 0
    before = (tmp_path / "slide_simulated.tif").read_bytes()
    assert simulate(slide, "-t", "pathology-sr") == 5
    assert (tmp_path / "slide_simulated.tif").read_bytes() == before
    assert simulate(slide, "-t", "pathology-sr", "--if-exists", "overwrite") == 0


def test_help_names_the_physics(capsys: Output) -> None:
    assert app.main(["simulate", "--help"]) == 0
    assert "--scan-noise" in capsys.readouterr().out
