"""Colours that fill 8, 10 or 12 bits of 16: what the file says of them is honoured and kept."""

import numpy as np
import pytest
import tifffile

from ratcli.errors import UnsuitableInputError
from ratcli.formats import create_scan, open_scan
from ratcli.formats.sampling import refuse_doubtful_white
from tests.formats.tiff_scans import FINER, NOTHING, colours, convert, enlarge, tags

BITS = pytest.mark.parametrize("bits", [8, 10, 12, 14])


def narrow(bits, channels=3):
    """Return colours from 0 to the full scale of so many bits, in 16."""
    image = colours((40, 50, channels), np.uint16) >> (16 - bits)
    image[0, 0], image[-1, -1] = 0, (1 << bits) - 1
    return image


def by_tag(path, image, highest, **options):
    count = image.shape[-1]
    extra = [(281, "H", count, (highest,) * count, True)]
    tifffile.imwrite(path, image, photometric="rgb", extratags=extra, metadata=None, **options)
    return path


def by_ome(path, image, bits):
    facts = {"axes": "YXS", "SignificantBits": bits}
    tifffile.imwrite(path, image, photometric="rgb", ome=True, metadata=facts)
    assert f'SignificantBits="{bits}"' in tags(path)[270]
    return path


def read(path):
    with open_scan(path) as reader:
        return np.moveaxis(reader.read(0), 0, -1), reader.info.notices


@BITS
@pytest.mark.parametrize("derivation", [None, FINER], ids=["same grid", "finer grid"])
def test_significant_bits_of_an_ome_tiff_are_the_full_scale_and_stay(tmp_path, bits, derivation):
    image = narrow(bits)
    source = by_ome(tmp_path / "a.ome.tif", image, bits)
    values, notices = read(source)
    np.testing.assert_allclose(values, image / ((1 << bits) - 1), rtol=1e-6)
    assert any(f"from 0 to {(1 << bits) - 1}" in notice for notice in notices)
    change = enlarge if derivation else lambda values: values
    result = convert(source, tmp_path / "b.ome.tif", change, *[derivation] if derivation else [])
    np.testing.assert_array_equal(tifffile.imread(result)[:: 4 if derivation else 1][0, 0], [0] * 3)
    assert tifffile.imread(result).max() == (1 << bits) - 1
    assert f'SignificantBits="{bits}"' in tags(result)[270]


@BITS
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("below", [0, 90])
def test_the_highest_sample_value_gives_the_full_scale_and_comes_back(
    tmp_path, bits, byteorder, below
):
    peak, image = (1 << bits) - 1, narrow(bits)
    source = by_tag(tmp_path / "a.tif", image, peak - below, byteorder=byteorder)
    np.testing.assert_allclose(read(source)[0], image / peak, rtol=1e-6)
    result = convert(source, tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(result), image)
    assert set(np.ravel(tags(result)[281])) == {peak}


def test_what_is_brighter_than_the_full_scale_is_cut_to_it(tmp_path):
    source = by_tag(tmp_path / "a.tif", narrow(12), 4095)
    result = tifffile.imread(convert(source, tmp_path / "b.tif", lambda values: values * 2))
    assert result.max() == 4095


@pytest.mark.parametrize("highest", [0, 1, 16384, 65535])
def test_a_highest_value_that_tells_nothing_changes_nothing(tmp_path, highest):
    image = colours(dtype=np.uint16)
    source = by_tag(tmp_path / "a.tif", image, highest)
    np.testing.assert_allclose(read(source)[0], image / 65535, rtol=1e-6)
    assert 281 not in tags(convert(source, tmp_path / "b.tif"))


@BITS
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_full_scale_that_the_user_gives_counts(tmp_path, bits, dtype):
    peak, image = (1 << bits) - 1, narrow(bits).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", metadata=None)
    with open_scan(tmp_path / "a.tif", full_scale=peak) as reader:
        assert (reader.info.unit, reader.info.assumed_white) == ("RGB", None)
        values = np.moveaxis(reader.read(0), 0, -1)
        np.testing.assert_allclose(values, image / peak, rtol=1e-6)
        with create_scan(reader, tmp_path / "b.tif", NOTHING) as writer:
            writer.write(0, reader.read(0))
    result = tifffile.imread(tmp_path / "b.tif")
    assert result.dtype == dtype
    np.testing.assert_allclose(result, image, rtol=1e-6)  # exact for integers, rounding of floats
    with open_scan(tmp_path / "b.tif", full_scale=peak if dtype == np.float32 else None) as reader:
        refuse_doubtful_white(reader)  # MaxSampleValue says it now, of integers
        np.testing.assert_allclose(np.moveaxis(reader.read(0), 0, -1), image / peak, rtol=1e-6)


@BITS
def test_what_fills_the_lower_part_of_16_bits_is_asked_for(tmp_path, bits):
    tifffile.imwrite(tmp_path / "a.tif", narrow(bits), photometric="rgb", metadata=None)
    with open_scan(tmp_path / "a.tif") as reader:
        with pytest.raises(
            UnsuitableInputError, match="does not say which number is white"
        ) as asked:
            refuse_doubtful_white(reader)
        assert f"--full-scale: {(1 << bits) - 1} for {bits} bits" in asked.value.hint
    with open_scan(tmp_path / "a.tif", full_scale=65535) as reader:
        refuse_doubtful_white(reader)


@pytest.mark.parametrize("place", [(0, 0), (299, 511), (150, 100)])
def test_a_bright_pixel_anywhere_settles_it(tmp_path, place):
    image = np.full((300, 512, 3), 900, np.uint16)
    image[place] = 40000
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", metadata=None)
    with open_scan(tmp_path / "a.tif") as reader:
        refuse_doubtful_white(reader)


def test_dark_8_bit_and_gray_images_are_not_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours() // 9, photometric="rgb", metadata=None)
    tifffile.imwrite(tmp_path / "b.tif", narrow(12)[..., 0], metadata=None)
    for name in "ab":
        with open_scan(tmp_path / f"{name}.tif") as reader:
            refuse_doubtful_white(reader)


def test_a_full_scale_beyond_the_type_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours(), photometric="rgb", metadata=None)
    with pytest.raises(UnsuitableInputError, match="white cannot be 4095"):
        open_scan(tmp_path / "a.tif", full_scale=4095)


@pytest.mark.parametrize("bits", [1, 16, 17, 999])
def test_significant_bits_of_the_whole_type_or_nonsense_change_nothing(tmp_path, bits):
    image = colours(dtype=np.uint16)
    values, _ = read(by_ome(tmp_path / "a.ome.tif", image, bits))
    np.testing.assert_allclose(values, image / 65535, rtol=1e-6)


def test_8_bit_colours_are_not_made_darker_by_their_highest_value(tmp_path):
    image = colours() // 2
    source = by_tag(tmp_path / "a.tif", image, 127)
    np.testing.assert_allclose(read(source)[0], image / 255, rtol=1e-6)


def test_gray_numbers_stay_what_they_are(tmp_path):
    image = narrow(12)[..., 0]
    extra = [(281, "H", 1, 4095, True)]
    tifffile.imwrite(tmp_path / "a.tif", image, extratags=extra, metadata=None)
    with open_scan(tmp_path / "a.tif") as reader:
        np.testing.assert_array_equal(reader.read(0)[0], image)


def test_alpha_keeps_the_scale_of_its_colours(tmp_path):
    image = narrow(12, channels=4)
    image[..., 3] = 4095
    source = by_tag(tmp_path / "a.tif", image, 4095, extrasamples=["assocalpha"])
    np.testing.assert_array_equal(tifffile.imread(convert(source, tmp_path / "b.tif")), image)


@pytest.mark.parametrize(("zero", "step"), [(-32768, 1), (-1024, 1), (-100.5, 0.25), (7, -0.5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_calibration_of_imagej_gives_the_values(tmp_path, zero, step, dtype):
    image = colours((40, 50), dtype)
    facts = {"cf": 0, "c0": zero, "c1": step, "vunit": "Gray Value"}
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata=facts)
    with open_scan(tmp_path / "a.tif") as reader:
        np.testing.assert_allclose(reader.read(0)[0], image * float(step) + zero, rtol=1e-6)
    result = convert(tmp_path / "a.tif", tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(result), image)
    raised = convert(tmp_path / "a.tif", tmp_path / "c.tif", lambda values: values + 4 * step)
    top = np.iinfo(dtype).max
    np.testing.assert_array_equal(tifffile.imread(raised), np.minimum(image, top - 4) + 4)


@pytest.mark.parametrize("facts", [{"cf": 3, "c0": 1, "c1": 2}, {"c0": 5, "c1": 2}, {"cf": 0}])
def test_a_calibration_that_is_no_line_changes_nothing(tmp_path, facts):
    image = colours((40, 50), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata=facts)
    with open_scan(tmp_path / "a.tif") as reader:
        np.testing.assert_array_equal(reader.read(0)[0], image)
