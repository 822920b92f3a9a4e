"""TIFF: what is read, and that everything else in the file survives."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ratcli.errors import OutputError
from ratcli.formats import create_scan, open_scan
from ratcli.scan import Box
from tests.formats.tiff_scans import FINER, NOTHING, colours, convert, enlarge, run, tags

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
PROFILE = b"\0\0\1\x0cprofile bytes".ljust(268, b"p")


@pytest.mark.parametrize("options", [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_every_layout_is_read_and_comes_back(tmp_path, options, planar, byteorder):
    image = colours(dtype=np.uint16)
    pages = image if planar == "contig" else np.moveaxis(image, -1, 0)
    source = tmp_path / "a.tif"
    tifffile.imwrite(
        source, pages, byteorder=byteorder, planarconfig=planar, photometric="rgb", **options
    )
    with open_scan(source) as reader:
        np.testing.assert_allclose(reader.read(0), np.moveaxis(image, -1, 0) / 65535, rtol=1e-6)
    np.testing.assert_array_equal(tifffile.imread(convert(source, tmp_path / "b.tif")), pages)


COMPRESSIONS = ["lzw", "zlib", "packbits", "zstd", "lzma", "jpeg", "jpeg2000"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_is_read_as_the_library_reads_it(tmp_path, compression):
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, colours(), photometric="rgb", tile=(16, 32), compression=compression)
    expected = tifffile.imread(source)
    with open_scan(source) as reader:
        np.testing.assert_array_equal(reader.stored(0), expected)
    np.testing.assert_array_equal(tifffile.imread(convert(source, tmp_path / "b.tif")), expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_gray_values_are_the_stored_numbers_and_come_back(tmp_path, dtype):
    image = (np.arange(300).reshape(15, 20) * 12345.678 % 120).astype(dtype)
    if dtype in ("u4", "i4"):
        image += 1 << 30  # float32 holds no such number to the last digit
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, image)
    with open_scan(source, assume_unit="HU") as reader:
        assert (reader.info.unit, reader.info.channels) == ("HU", 1)
        np.testing.assert_array_equal(reader.read(0)[0], image.astype(np.float32))
    np.testing.assert_array_equal(tifffile.imread(convert(source, tmp_path / "b.tif")), image)


def test_gray_values_have_no_unit_of_their_own(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours((20, 30)))
    with open_scan(tmp_path / "a.tif") as reader:
        assert (reader.info.unit, reader.info.modality) == (None, None)


def test_white_is_bright_where_the_file_counts_from_white(tmp_path):
    image = colours((20, 30))
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite")
    with open_scan(tmp_path / "a.tif") as reader:
        np.testing.assert_array_equal(reader.read(0)[0], 255 - image.astype(np.float32))
    result = convert(tmp_path / "a.tif", tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(result), image)
    assert tags(result)[262] == 0


def test_a_palette_is_read_and_written_as_colours(tmp_path):
    colormap = (np.random.default_rng(0).integers(0, 256, (3, 256)) * 257).astype(np.uint16)
    index = np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", index, photometric="palette", colormap=colormap)
    expected = np.moveaxis(colormap[:, index] // 257, 0, -1)
    with open_scan(tmp_path / "a.tif") as reader:
        assert reader.info.unit == "RGB"
        np.testing.assert_allclose(reader.read(0), np.moveaxis(expected, -1, 0) / 255, rtol=1e-6)
    result = tifffile.imread(convert(tmp_path / "a.tif", tmp_path / "b.tif"))
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha_is_hidden_from_the_network_and_comes_back(tmp_path, kind):
    image = colours((20, 30, 4))
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, image, photometric="rgb", extrasamples=[kind])
    with open_scan(source) as reader:
        assert reader.info.channels == 3
    result = convert(source, tmp_path / "b.tif", lambda values: 1 - values)
    np.testing.assert_array_equal(tifffile.imread(result)[..., 3], image[..., 3])
    expected = 255 - image[..., 0]
    if kind == "assocalpha":  # which bounds colours, but where the source's own exceed it
        expected = np.minimum(expected, image[..., [0, 3]].max(axis=-1))
    np.testing.assert_array_equal(tifffile.imread(result)[..., 0], expected)
    assert tags(result)[338] == tags(source)[338]


def test_values_beyond_the_type_are_clipped_and_do_not_wrap(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours())
    result = convert(tmp_path / "a.tif", tmp_path / "b.tif", lambda values: values * 4 - 1.5)
    assert set(np.unique(tifffile.imread(result))[[0, -1]]) == {0, 255}


def test_nan_is_padding_in_float_images_only(tmp_path):
    image = np.ones((4, 5), np.float32)
    image[1, 2] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", image)
    with open_scan(tmp_path / "a.tif") as reader:
        assert np.argwhere(reader.padding(0)).tolist() == [[1, 2]]
    tifffile.imwrite(tmp_path / "b.tif", colours())
    with open_scan(tmp_path / "b.tif") as reader:
        assert not reader.padding(0).any()


def test_a_box_is_the_cut_of_the_plane(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours(), tile=(16, 16), photometric="rgb")
    with open_scan(tmp_path / "a.tif") as reader:
        for box in (Box(3, 5, 30, 40), Box(16, 16, 16, 16), Box(39, 49, 1, 1)):
            np.testing.assert_array_equal(reader.read(0, box), reader.read(0)[(..., *box.slices)])


def test_pages_of_one_size_are_planes_and_others_come_along(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(colours((20, 30)), compression="lzw")
        file.write(colours((7, 9, 3)), photometric="rgb", compression="jpeg")
        file.write(colours((20, 30)) // 2, compression="lzw")
    with open_scan(tmp_path / "a.tif") as reader:
        assert reader.info.planes == 2
        assert reader.info.notices == ("1 further page is copied, not restored",)
    result = convert(tmp_path / "a.tif", tmp_path / "b.tif", lambda values: values + 1)
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(result) as after:
        for page, change in enumerate((1, 0, 1)):
            expected = before.pages[page].asarray() + np.uint8(change)
            np.testing.assert_array_equal(after.pages[page].asarray(), expected)


def test_an_imagej_stack_keeps_what_imagej_knows(tmp_path):
    stack = colours((2, 3, 20, 30), np.uint16)
    source = tmp_path / "a.tif"
    facts = {"axes": "ZCYX", "unit": "micron", "spacing": 2.0, "Info": "a note", "fps": 3.0}
    tifffile.imwrite(source, stack, imagej=True, resolution=(4.0, 5.0), metadata=facts)
    with open_scan(source) as reader:
        assert reader.info.planes == 6
        assert reader.info.spacing_mm == pytest.approx((0.002, 0.0002, 0.00025))
    result = convert(source, tmp_path / "b.tif")
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(result) as after:
        assert after.imagej_metadata == before.imagej_metadata
        assert after.series[0].axes == before.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(after.asarray(), stack)


def test_an_imagej_stack_with_one_directory_is_read_whole(tmp_path):
    stack = colours((5, 20, 30))
    source = tmp_path / "a.tif"
    description = "ImageJ=1.53\nimages=5\nslices=5\n"
    tifffile.imwrite(source, stack[0], byteorder=">", description=description, metadata=None)
    with tifffile.TiffFile(source) as file:
        start = file.pages[0].dataoffsets[0]
    source.write_bytes(source.read_bytes()[:start] + stack.tobytes())
    with open_scan(source) as reader:
        assert reader.info.planes == 5
        np.testing.assert_array_equal(reader.read(4)[0], stack[4])
    np.testing.assert_array_equal(tifffile.imread(convert(source, tmp_path / "b.tif")), stack)


def save_ome(path, image=None, **options):
    facts = {
        "axes": "ZYX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.6,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 2.0,
        "PhysicalSizeZUnit": "µm",
    }
    image = colours((3, 20, 30), np.uint16) if image is None else image
    tifffile.imwrite(path, image, ome=True, metadata=facts, **options)
    return path


def test_an_ome_tiff_keeps_its_axes_and_its_sizes_follow_the_scale(tmp_path):
    source = save_ome(tmp_path / "a.ome.tif")
    with open_scan(source) as reader:
        assert reader.info.spacing_mm == pytest.approx((0.002, 0.0006, 0.0005))
    result = convert(source, tmp_path / "b.ome.tif", enlarge, FINER)
    with tifffile.TiffFile(result) as file:
        assert file.series[0].axes == "ZYX"
        assert file.series[0].shape == (3, 80, 120)
        xml = file.ome_metadata
    for expected in ('SizeX="120"', 'SizeY="80"', 'SizeZ="3"', 'PhysicalSizeX="0.125"'):
        assert expected in xml
    assert 'PhysicalSizeY="0.15"' in xml
    assert 'PhysicalSizeZ="2.0"' in xml


def test_the_ome_xml_is_valid_and_names_no_other_file(tmp_path):
    ome_types = pytest.importorskip("ome_types", reason="ome-types is not installed")
    source = save_ome(tmp_path / "a.ome.tif")
    description = tags(source)[270]
    named = re.sub(
        r"<TiffData ([^>]*)/>",
        r'<TiffData \1><UUID FileName="a.ome.tif">'
        r"urn:uuid:00000000-0000-4000-8000-000000000000</UUID></TiffData>",
        description,
    )
    assert named != description
    tifffile.tiffcomment(source, named.encode())
    xml = tags(convert(source, tmp_path / "b.ome.tif", enlarge, FINER))[270]
    assert "a.ome.tif" not in xml
    assert ome_types.from_xml(xml, validate=True).images[0].pixels.size_x == 120


def test_a_palette_in_an_ome_tiff_only_tints_measured_numbers(tmp_path):
    colormap = np.zeros((3, 256), np.uint16)
    colormap[1] = np.arange(256) * 257
    image = colours((2, 20, 30))
    tifffile.imwrite(
        tmp_path / "a.ome.tif", image, photometric="palette", colormap=colormap, ome=True
    )
    with open_scan(tmp_path / "a.ome.tif") as reader:
        assert reader.info.channels == 1
        np.testing.assert_array_equal(reader.read(1)[0], image[1])
    result = convert(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif")
    np.testing.assert_array_equal(tags(result)[320], tags(tmp_path / "a.ome.tif")[320])
    np.testing.assert_array_equal(tifffile.imread(result), image)


def test_resolution_and_profile_survive_and_follow_the_scale(tmp_path):
    source = tmp_path / "a.tif"
    tifffile.imwrite(
        source, colours(), resolution=(2e4, 1e4), resolutionunit="centimeter", iccprofile=PROFILE
    )
    with open_scan(source) as reader:
        assert reader.info.spacing_mm == pytest.approx((None, 1e-3, 5e-4))
    with open_scan(convert(source, tmp_path / "b.tif", enlarge, FINER)) as reader:
        assert reader.info.spacing_mm == pytest.approx((None, 2.5e-4, 1.25e-4))
    assert tags(tmp_path / "b.tif")[34675] == PROFILE
    assert tags(tmp_path / "b.tif")[296] == 3


@pytest.mark.parametrize("dpi", [72, 300, 95.98])
def test_the_resolution_of_a_printer_is_no_spacing(tmp_path, dpi):
    tifffile.imwrite(tmp_path / "a.tif", colours(), resolution=(dpi, dpi), resolutionunit="inch")
    with open_scan(tmp_path / "a.tif") as reader:
        assert reader.info.spacing_mm == (None, None, None)


def test_what_was_done_is_told_after_who_wrote_the_source(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours(), software="a scanner", metadata=None)
    told = tags(convert(tmp_path / "a.tif", tmp_path / "b.tif"))[305]
    assert told.startswith("a scanner; rat: nothing was changed")


def test_other_tags_survive_to_the_byte(tmp_path):
    extra = [(65000, 4, 3, (7, 8, 9), True), (700, 1, 5, b"<xmp>", True)]
    tifffile.imwrite(tmp_path / "a.tif", colours(), byteorder=">", extratags=extra, metadata=None)
    result = tags(convert(tmp_path / "a.tif", tmp_path / "b.tif"))
    assert (result[65000], result[700]) == ((7, 8, 9), b"<xmp>")


def test_twelve_bit_colours_are_written_with_sixteen(tmp_path):
    source = SHARED / "formats" / "tiff" / "image_rs" / "12bit.cropped.rgb.tiff"
    if not source.is_file():
        pytest.skip(f"no image at {source}")
    result = convert(source, tmp_path / "b.tif")
    with open_scan(source) as before, open_scan(result) as after:
        assert (before.info.bits, after.info.bits) == (12, 16)
        half_step = 0.5 / 65535 + 1e-7
        np.testing.assert_allclose(after.read(0), before.read(0), atol=half_step)


def test_a_small_result_is_no_bigtiff_and_a_bigtiff_stays_one(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours())
    tifffile.imwrite(tmp_path / "big.tif", colours(), bigtiff=True)
    assert convert(tmp_path / "a.tif", tmp_path / "b.tif").read_bytes()[:4] == b"II*\0"
    assert convert(tmp_path / "big.tif", tmp_path / "c.tif").read_bytes()[:4] == b"II+\0"


def test_a_result_is_the_same_each_time(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours())
    first = convert(tmp_path / "a.tif", tmp_path / "b.tif").read_bytes()
    assert convert(tmp_path / "a.tif", tmp_path / "c.tif").read_bytes() == first


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"bigtiff": True}])
def test_tiffinfo_and_vips_take_the_result(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", colours(), photometric="rgb", **options)
    result = convert(tmp_path / "a.tif", tmp_path / "b.tif", enlarge, FINER)
    assert "Warning" not in run("tiffinfo", result).stderr
    mean = float(run("vips", "avg", result).stdout)
    assert mean == pytest.approx(colours().mean(), abs=1e-4)  # vips prints six decimals


def test_a_plane_that_is_not_whole_is_a_mistake_and_leaves_no_file(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours())
    with open_scan(tmp_path / "a.tif") as reader:
        writer = create_scan(reader, tmp_path / "b.tif", NOTHING)
        box = Box(0, 0, 40, 49)
        with pytest.raises(ValueError, match="plane 0 was not written whole"), writer:
            writer.write(0, reader.read(0, box), box)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_pixels_that_come_twice_are_a_mistake(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours())
    with open_scan(tmp_path / "a.tif") as reader:
        writer = create_scan(reader, tmp_path / "b.tif", NOTHING)
        with writer:
            writer.write(0, reader.read(0))
            with pytest.raises(ValueError, match="twice"):
                writer.write(0, reader.read(0))


def test_nan_is_not_written_as_a_colour(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours())
    with pytest.raises(ValueError, match="NaN cannot be stored as uint8"):
        convert(tmp_path / "a.tif", tmp_path / "b.tif", lambda values: values * np.float32("nan"))


def test_a_run_that_fails_leaves_no_file(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours())
    with open_scan(tmp_path / "a.tif") as reader:
        writer = create_scan(reader, tmp_path / "b.tif", NOTHING)
        with pytest.raises(KeyboardInterrupt), writer:
            raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_the_input_is_never_the_output(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours())
    with open_scan(tmp_path / "a.tif") as reader, pytest.raises(OutputError, match="is the input"):
        create_scan(reader, tmp_path / "a.tif", NOTHING, overwrite=True)
