"""Whole slides: read and written box by box, and opened by OpenSlide and vips afterwards."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ratcli.formats import create_scan, open_scan
from ratcli.scan import Derivation
from tests.formats.slide_scans import convert

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
COPY = Derivation("pathology-x4", "nothing was changed", "copy")
FINER = Derivation("pathology-x4", "made finer", "x4", method="resample", scale=4)
HEIGHT, WIDTH, TILE = 300, 420, 240


def tissue(height=HEIGHT, width=WIDTH):
    rows, columns = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(rows / 17 + phase) * np.cos(columns / 23) for phase in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


def save_slide(path):
    """Write what an Aperio scanner writes: a slide, a thumbnail, a level, a label."""
    head = f"Aperio Image Library v11.2.1 \r\n{WIDTH}x{HEIGHT} [0,0 {WIDTH}x{HEIGHT}] (240x240)"
    head += " RAW/RGB|AppMag = 20|MPP = 0.4990|Left = 25.69"
    with tifffile.TiffWriter(path) as file:
        options = {"photometric": "rgb", "metadata": None}
        file.write(tissue(), tile=(TILE, TILE), description=head, **options)
        file.write(tissue()[::4, ::4], description=head + " -> 105x75", **options)
        file.write(tissue()[::2, ::2], tile=(TILE, TILE), description=head, **options)
        label = "Aperio Image Library v11.2.1 \r\nlabel 30x20"
        file.write(tissue(20, 30), description=label, subfiletype=1, **options)
    return path


def properties(path):
    tool = shutil.which("openslide-show-properties")
    if tool is None:
        pytest.skip("openslide-show-properties is not installed (apt-get install openslide-tools)")
    told = subprocess.run([tool, path], capture_output=True, text=True, check=True)
    assert "arning" not in told.stderr
    return dict(re.findall(r"^(openslide\.\S+): '(.*)'", told.stdout, re.MULTILINE))


def region(slide, target, level, left, top, width, height):
    """Let OpenSlide cut a region; `left` and `top` count pixels of the first level."""
    tool = shutil.which("openslide-write-png")
    if tool is None:
        pytest.skip("openslide-write-png is not installed (apt-get install openslide-tools)")
    where = [str(number) for number in (left, top, level, width, height)]
    subprocess.run([tool, slide, *where, target], check=True, capture_output=True)
    from skimage.io import imread

    return imread(target)[..., :3]


def test_the_slide_is_the_only_plane(tmp_path):
    with open_scan(save_slide(tmp_path / "a.svs")) as reader:
        assert (reader.info.planes, reader.info.height, reader.info.width) == (1, HEIGHT, WIDTH)
        assert reader.info.spacing_mm == pytest.approx((None, 0.000499, 0.000499))
        assert reader.info.unit == "RGB"
        assert reader.info.details["magnification"] == "20"


def test_openslide_sees_all_levels_and_a_quarter_of_the_spacing(tmp_path):
    result = convert(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs", FINER)
    told = properties(result)
    assert told["openslide.vendor"] == "aperio"
    assert float(told["openslide.mpp-x"]) == pytest.approx(0.499 / 4)
    assert float(told["openslide.objective-power"]) == 80
    sizes = [
        (int(told[f"openslide.level[{n}].height"]), int(told[f"openslide.level[{n}].width"]))
        for n in range(int(told["openslide.level-count"]))
    ]
    assert sizes == [(1200, 1680), (600, 840)]


def test_openslide_shows_the_same_place_in_every_level(tmp_path):
    result = convert(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs", FINER)
    place = tissue()[120:180, 200:290]
    for level, scale in enumerate((4, 2)):
        shown = region(result, tmp_path / "c.png", level, 800, 480, 90 * scale, 60 * scale)
        np.testing.assert_array_equal(shown, place.repeat(scale, 0).repeat(scale, 1))


def test_label_and_thumbnail_come_along_to_the_byte(tmp_path):
    source = save_slide(tmp_path / "a.svs")
    with (
        tifffile.TiffFile(source) as before,
        tifffile.TiffFile(convert(source, tmp_path / "b.svs", FINER)) as after,
    ):
        assert [page.is_tiled for page in after.pages] == [True, False, True, False]
        for page in (1, 3):
            assert after.pages[page].description == before.pages[page].description
            np.testing.assert_array_equal(after.pages[page].asarray(), before.pages[page].asarray())


def test_the_description_of_the_slide_follows_the_scale(tmp_path):
    result = convert(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs", FINER)
    with tifffile.TiffFile(result) as file:
        told = file.pages[0].description
    assert "1680x1200 [0,0 1680x1200] (240x240)" in told
    assert "AppMag = 80|MPP = 0.12475|Left = 25.69" in told


def test_a_copy_of_a_slide_equals_it(tmp_path):
    result = convert(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs", COPY)
    np.testing.assert_array_equal(tifffile.imread(result), tissue())


def test_a_slide_is_always_bigtiff(tmp_path):
    result = convert(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs", COPY)
    assert result.read_bytes()[:4] == b"II+\0"


def test_a_flat_pyramid_keeps_its_levels(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        options = {"photometric": "rgb", "tile": (64, 64), "metadata": None}
        options |= {"resolution": (2e4, 2e4), "resolutionunit": "centimeter"}
        file.write(tissue(), **options)
        for step in (2, 4):
            file.write(tissue()[::step, ::step], subfiletype=1, **options)
    with open_scan(tmp_path / "a.tif") as reader:
        assert (reader.info.planes, reader.info.notices) == (1, ())
    told = properties(convert(tmp_path / "a.tif", tmp_path / "b.tif", FINER))
    assert told["openslide.level-count"] == "3"
    assert told["openslide.vendor"] == "generic-tiff"
    with open_scan(tmp_path / "b.tif") as reader:
        assert reader.info.spacing_mm == pytest.approx((None, 1.25e-4, 1.25e-4))


def test_levels_of_an_ome_tiff_stay_beside_their_plane(tmp_path):
    planes = np.stack([tissue(), 255 - tissue()])
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        options = {"photometric": "rgb", "tile": (64, 64)}
        file.write(planes, subifds=1, metadata={"axes": "ZYXS"}, **options)
        file.write(planes[:, ::2, ::2], subfiletype=1, **options)
    result = tmp_path / "b.ome.tif"
    with (
        open_scan(tmp_path / "a.ome.tif") as reader,
        create_scan(reader, result, COPY) as writer,
    ):
        for plane in range(2):
            writer.write(plane, reader.read(plane))
    with tifffile.TiffFile(result) as file:
        assert [level.shape for level in file.series[0].levels] == [
            (2, 300, 420, 3),
            (2, 150, 210, 3),
        ]
        np.testing.assert_array_equal(file.series[0].asarray(), planes)
        halves = planes.reshape(2, 150, 2, 210, 2, 3).mean((2, 4))
        shown = file.series[0].levels[1].asarray().astype(float)
        assert np.abs(shown - halves).max() <= 0.5


def test_levels_are_means_and_an_odd_edge_counts_twice(tmp_path):
    image = np.array([[[0], [2], [9]], [[4], [6], [9]], [[1], [3], [5]]], np.uint8)
    from ratcli.formats.tiling import halve

    np.testing.assert_array_equal(halve(image)[..., 0], [[3, 9], [2, 5]])


def test_vips_opens_each_level(tmp_path):
    tool = shutil.which("vips")
    if tool is None:
        pytest.skip("vips is not installed (apt-get install libvips-tools)")
    result = convert(save_slide(tmp_path / "a.svs"), tmp_path / "b.svs", FINER)
    for level in (0, 1):
        command = [tool, "avg", f"{result}[level={level}]"]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        with_alpha = (3 * tissue().mean() + 255) / 4  # OpenSlide adds an opaque band
        assert float(told.stdout) == pytest.approx(with_alpha, abs=0.3)


def test_a_real_slide_shows_the_same_centre(tmp_path):
    source = SHARED / "he" / "wsi" / "CMU-1-Small-Region.svs"
    if not source.is_file():
        pytest.skip(f"no slide at {source}")
    result = convert(source, tmp_path / "b.svs", FINER, step=512)
    told, before = properties(result), properties(source)
    for axis in "xy":
        quarter = float(before[f"openslide.mpp-{axis}"]) / 4
        assert float(told[f"openslide.mpp-{axis}"]) == pytest.approx(quarter)
    left, top = 2220 // 2, 2967 // 2
    place = region(source, tmp_path / "a.png", 0, left, top, 50, 40)
    shown = region(result, tmp_path / "b.png", 0, 4 * left, 4 * top, 200, 160)
    np.testing.assert_array_equal(shown, place.repeat(4, 0).repeat(4, 1))
