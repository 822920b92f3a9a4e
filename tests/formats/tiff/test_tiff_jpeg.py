"""TIFF written as JPEG on request: what it loses, what it is for, and who opens it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from ratcli.errors import UsageError
from ratcli.formats import create_scan, open_scan
from ratcli.scan import Derivation
from tests.formats.slide_scans import convert

FINER = Derivation("pathology-sr", "made finer", "x4", method="resample", scale=4)
SPREAD = Derivation("pathology-sr", "spread", "spread", method="uncertainty", scale=4)
HEIGHT, WIDTH = 300, 420
Image = npt.NDArray[Any]


def stained() -> Image:
    """Smooth colours of H&E, in which red and blue are far apart: a wrong colour space shows."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    wave = 0.5 + 0.5 * np.sin(rows / 17) * np.cos(columns / 23)
    pink, violet = np.array([235, 160, 200]), np.array([90, 50, 140])
    return np.rint(pink + wave[..., None] * (violet - pink)).astype(np.uint8)


def save_slide(path: Path) -> Path:
    """Write what an Aperio scanner writes: a slide, a thumbnail, a smaller version."""
    head = f"Aperio Image Library v11.2.1 \r\n{WIDTH}x{HEIGHT} [0,0 {WIDTH}x{HEIGHT}] (240x240)"
    head += " RAW/RGB|AppMag = 20|MPP = 0.4990"
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "description": head}
    with tifffile.TiffWriter(path) as file:
        file.write(stained(), tile=(240, 240), iccprofile=b"profile", **options)
        file.write(stained()[::4, ::4], **options)
        file.write(stained()[::2, ::2], tile=(240, 240), **options)
    return path


def save_plain(path: Path) -> Path:
    """Write strips in planes of their own, which JPEG has to put together."""
    resolution: dict[str, Any] = {"resolution": (2e4, 2e4), "resolutionunit": "centimeter"}
    planes = np.moveaxis(stained(), -1, 0)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", **resolution)
    return path


def enlarge(
    source: Path, target: Path, derivation: Derivation = FINER, quality: int | None = 90
) -> Path:
    """Enlarge a slide, as JPEG unless told otherwise."""
    return convert(source, target, derivation, jpeg_quality=quality)


def psnr_db(shown: Image, expected: Image) -> float:
    return float(-10 * np.log10(np.mean((shown / 255.0 - expected / 255.0) ** 2)))


def assert_same_colours(shown: Image, expected: Image) -> None:
    """JPEG of quality 90 leaves 40 dB at least, and no channel brighter or darker by a step."""
    assert psnr_db(shown, expected) > 40
    shift = (shown.astype(float) - expected).mean((0, 1))
    assert np.abs(shift).max() < 1


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install {package})")
    return found


def region(slide: Path, target: Path, level: int, corner: tuple[int, int], side: int) -> Image:
    """Let OpenSlide cut a square; `corner` is left and top in pixels of the first level."""
    command = [tool("openslide-write-png", "openslide-tools"), slide]
    command += [str(number) for number in (*corner, level, side, side)]
    subprocess.run([*command, target], check=True, capture_output=True)
    from skimage.io import imread

    image: Image = imread(target)[..., :3]
    return image


def test_jpeg_is_tiled_in_full_colour_with_all_smaller_versions(tmp_path: Path) -> None:
    result = enlarge(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs")
    with tifffile.TiffFile(result) as file:
        pages = [page for page in file.pages if page.is_tiled]
        assert [page.shape for page in pages] == [(1200, 1680, 3), (600, 840, 3)]
        for page in pages:
            assert (page.compression.name, page.photometric.name) == ("JPEG", "YCBCR")
            assert page.tags[530].value == (1, 1)
            assert page.tags[34675].value == b"profile"


@pytest.mark.parametrize("save", [save_slide, save_plain])
def test_what_jpeg_loses_is_no_colour(tmp_path: Path, save: Callable[[Path], Path]) -> None:
    result = enlarge(save(tmp_path / "a.svs"), tmp_path / "b.svs")
    expected = stained().repeat(4, 0).repeat(4, 1)
    assert_same_colours(tifffile.imread(result), expected)
    with open_scan(result) as reader:
        assert_same_colours(np.moveaxis(reader.read(0), 0, -1) * 255, expected)


def test_a_higher_quality_loses_less_and_takes_more(tmp_path: Path) -> None:
    source, expected = save_slide(tmp_path / "a.svs"), stained().repeat(4, 0).repeat(4, 1)
    results = [enlarge(source, tmp_path / f"{q}.svs", quality=q) for q in (50, 90)]
    low, high = (psnr_db(tifffile.imread(path), expected) for path in results)
    assert low < high
    assert results[0].stat().st_size < results[1].stat().st_size


def test_the_file_says_that_it_lost_something(tmp_path: Path) -> None:
    result = enlarge(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs", quality=85)
    with tifffile.TiffFile(result) as file:
        assert file.pages[0].tags[305].value.endswith("JPEG quality 85")


def test_nothing_is_lost_unless_it_is_asked_for(tmp_path: Path) -> None:
    result = enlarge(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs", quality=None)
    np.testing.assert_array_equal(tifffile.imread(result), stained().repeat(4, 0).repeat(4, 1))


def test_standard_deviations_stay_floats(tmp_path: Path) -> None:
    result = enlarge(save_slide(tmp_path / "a.svs"), tmp_path / "b.tif", SPREAD)
    with tifffile.TiffFile(result) as file:
        assert file.pages[0].dtype == np.float32
        assert file.pages[0].compression.name == "ADOBE_DEFLATE"


def test_openslide_shows_all_levels_of_jpeg_in_their_colours(tmp_path: Path) -> None:
    result = enlarge(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs")
    command = [tool("openslide-show-properties", "openslide-tools"), result]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    facts = dict(re.findall(r"^(openslide\.\S+): '(.*)'", told.stdout, re.MULTILINE))
    assert (facts["openslide.vendor"], facts["openslide.level-count"]) == ("aperio", "2")
    assert float(facts["openslide.mpp-x"]) == pytest.approx(0.499 / 4)
    place = stained()[120:170, 200:250]
    for level, scale in enumerate((4, 2)):
        shown = region(result, tmp_path / "c.png", level, (800, 480), 50 * scale)
        assert_same_colours(shown, place.repeat(scale, 0).repeat(scale, 1))


def test_openslide_opens_a_plain_tiff_with_its_spacing(tmp_path: Path) -> None:
    result = enlarge(save_plain(tmp_path / "a.tif"), tmp_path / "b.tif")
    command = [tool("openslide-show-properties", "openslide-tools"), result]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "openslide.vendor: 'generic-tiff'" in told
    with open_scan(result) as reader:
        assert reader.info.spacing_mm == pytest.approx((None, 1.25e-4, 1.25e-4))
    shown = region(result, tmp_path / "c.png", 0, (800, 480), 200)
    assert_same_colours(shown, stained()[120:170, 200:250].repeat(4, 0).repeat(4, 1))


def test_vips_reads_the_colours_of_jpeg_by_libtiff(tmp_path: Path) -> None:
    vips = tool("vips", "libvips-tools")
    result = enlarge(save_plain(tmp_path / "a.tif"), tmp_path / "b.tif")
    subprocess.run([vips, "tiffload", result, tmp_path / "c.v"], check=True)
    subprocess.run([vips, "rawsave", tmp_path / "c.v", tmp_path / "c.raw"], check=True)
    shown = np.fromfile(tmp_path / "c.raw", np.uint8).reshape(1200, 1680, 3)
    assert_same_colours(shown, stained().repeat(4, 0).repeat(4, 1))


def test_tiffinfo_finds_nothing_odd_in_jpeg(tmp_path: Path) -> None:
    result = enlarge(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs")
    command = [tool("tiffinfo", "libtiff-tools"), "-d", result]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stderr == ""
    assert told.stdout.count("Compression Scheme: JPEG") == 2
    assert "YCbCr Subsampling: 1, 1" in told.stdout


@pytest.mark.parametrize(
    ("image", "options", "found"),
    [
        (stained()[..., 0], {}, "gray of 8 bits"),
        (stained().astype(np.uint16), {"photometric": "rgb"}, "RGB of 16 bits"),
        (
            np.dstack([stained(), stained()[..., :1]]),
            {"photometric": "rgb", "extrasamples": ["unassalpha"]},
            "RGB with an alpha channel",
        ),
        (stained(), {"imagej": True}, "an ImageJ TIFF"),
    ],
)
def test_what_jpeg_is_not_for_is_refused_with_what_it_is(
    tmp_path: Path, image: Image, options: dict[str, Any], found: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image, **options)
    with (
        open_scan(tmp_path / "a.tif") as reader,
        pytest.raises(UsageError, match=f"JPEG is for RGB of 8 bits, but this is {found}"),
    ):
        create_scan(reader, tmp_path / "b.tif", FINER, jpeg_quality=90)
    assert not (tmp_path / "b.tif").exists()
