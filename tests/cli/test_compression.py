"""`--compression jpeg` as users meet it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

import ratcli
from ratcli.cli.app import main
from ratcli.errors import UsageError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A small field in RGB."""
    rows, columns = np.mgrid[:48, :64]
    image = np.stack([rows * 4, columns * 3, 200 - rows], -1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "slide.tif", image, photometric="rgb")
    return tmp_path / "slide.tif"


def restore(*words: object, task: str = "pathology-sr") -> int:
    how = ("-t", task, "--threads", "1", "--partition", "none")
    return main(["restore", *map(str, words), *how])


def codec(path: Path) -> str:
    with tifffile.TiffFile(path) as file:
        return str(file.pages[0].compression.name)


def test_jpeg_is_written_on_request_alone(slide: Path, tmp_path: Path) -> None:
    assert restore(slide, "-o", tmp_path / "lossless.tif") == 0
    assert restore(slide, "-o", tmp_path / "lossy.tif", "--compression", "jpeg") == 0
    assert codec(tmp_path / "lossless.tif") == "ADOBE_DEFLATE"
    assert codec(tmp_path / "lossy.tif") == "JPEG"
    exact, near = (tifffile.imread(tmp_path / f"{n}.tif") for n in ("lossless", "lossy"))
    error = exact.astype(float) - near
    assert 0 < np.sqrt(np.mean(error**2)) < 255 / 10 ** (30 / 20)  # 30 dB: it is noise
    assert np.abs(error.mean((0, 1))).max() < 1


def test_quality_is_what_the_user_says(slide: Path, tmp_path: Path) -> None:
    words = ("--compression", "jpeg", "--quality", "40")
    assert restore(slide, "-o", tmp_path / "b.tif", *words) == 0
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert "JPEG quality 40" in file.pages[0].tags[305].value


def test_a_dicom_scan_is_not_written_as_jpeg(tmp_path: Path, capsys: Output) -> None:
    scan = EXAMPLES / "ct_phantom.dcm"
    words = (scan, "-o", tmp_path / "b.dcm", "--compression", "jpeg")
    assert restore(*words, task="ct-denoise") == 2
    told = capsys.readouterr().err
    assert "JPEG is for TIFF and SVS, but this is DICOM" in told
    assert "Leave --compression out." in told
    assert list(tmp_path.iterdir()) == []


def test_what_jpeg_is_not_for_stops_no_other(slide: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(slide, tmp_path / "in")
    deep = tifffile.imread(slide).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in" / "deep.tif", deep, photometric="rgb")
    assert restore(tmp_path / "in", "-o", tmp_path / "out", "--compression", "jpeg") == 8
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["slide.tif"]


def test_a_quality_without_jpeg_is_refused(slide: Path, capsys: Output) -> None:
    assert restore(slide, "--quality", "80") == 2
    assert "Add --compression jpeg." in capsys.readouterr().err


def test_a_batch_is_not_resumed_with_another_compression(slide: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "run.json"
    words = (slide, "-o", tmp_path / "b.tif", "--manifest", manifest)
    assert restore(*words, "--compression", "jpeg") == 0
    assert json.loads(manifest.read_text())["settings"]["jpeg_quality"] == 90
    assert restore(*words, "--resume") == 2


def test_python_has_the_option_too(slide: Path, tmp_path: Path) -> None:
    options = {"task": "pathology-sr", "partition": "none", "threads": 1}
    [made] = ratcli.restore(slide, output=tmp_path / "b.tif", compression="jpeg", **options)
    assert codec(Path(made.output)) == "JPEG"
    with pytest.raises(UsageError, match="quality must be from 1 to 100, not 101"):
        ratcli.restore(slide, compression="jpeg", quality=101, **options)
