"""The largest image in full resolution is the scan, wherever it stands in the file."""

import numpy as np
import pytest
import tifffile

from ratcli.errors import UnsuitableInputError
from ratcli.formats import create_scan, open_scan
from tests.formats.tiff_scans import FINER, NOTHING, colours, convert, enlarge

LARGE = colours((96, 128, 3))
SMALL = colours((24, 32, 3))


def save(path, *images, **options):
    """Write images one after another: `(pixels, NewSubfileType)`."""
    with tifffile.TiffWriter(path, **options) as file:
        for image, kind in images:
            file.write(image, subfiletype=kind, photometric="rgb", metadata=None)
    return path


def assert_large_is_restored(path, target):
    with open_scan(path) as reader:
        assert (reader.info.planes, reader.info.height, reader.info.width) == (1, 96, 128)
        np.testing.assert_allclose(reader.read(0) * 255, np.moveaxis(LARGE, -1, 0), atol=1e-3)
    with open_scan(convert(path, target, enlarge, FINER)) as reader:
        assert (reader.info.planes, reader.info.height, reader.info.width) == (1, 384, 512)


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_small_image_that_comes_first_is_not_the_scan(tmp_path, kind, byteorder):
    path = save(tmp_path / "a.tif", (SMALL, kind), (LARGE, 0), byteorder=byteorder)
    assert_large_is_restored(path, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        np.testing.assert_array_equal(file.pages[0].asarray(), SMALL)


def test_a_reduced_image_is_not_the_scan_even_if_it_is_the_largest(tmp_path):
    path = save(tmp_path / "a.tif", (colours((200, 200, 3)), 1), (LARGE, 0))
    assert_large_is_restored(path, tmp_path / "b.tif")


def test_the_largest_series_of_an_ome_tiff_is_the_scan(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for image, size in ((SMALL, 4.0), (LARGE, 0.5)):
            facts = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeY": size}
            file.write(image, photometric="rgb", metadata=facts)
    assert_large_is_restored(path, tmp_path / "b.ome.tif")
    with open_scan(path) as reader:
        assert reader.info.spacing_mm[1:] == pytest.approx((5e-4, 5e-4))
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        assert [series.shape for series in file.series] == [(24, 32, 3), (384, 512, 3)]
        assert 'PhysicalSizeX="0.125"' in file.ome_metadata
        assert 'PhysicalSizeX="4.0"' in file.ome_metadata


def test_a_slide_behind_its_overview_keeps_its_levels(tmp_path):
    path = tmp_path / "a.tif"  # the order of a Leica SCN
    with tifffile.TiffWriter(path) as file:
        for image in (SMALL, LARGE, LARGE[::2, ::2]):
            file.write(image, tile=(16, 16), photometric="rgb", metadata=None)
    assert_large_is_restored(path, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].shape == (24, 32, 3)
        assert [page.shape[:2] for page in file.pages[1:]] == [(384, 512), (192, 256)]


def test_several_images_of_one_rank_are_asked_for(tmp_path):
    path = save(tmp_path / "a.tif", (SMALL, 0), (LARGE, 0), (LARGE.swapaxes(0, 1), 0))
    with pytest.raises(
        UnsuitableInputError, match=r"page 2, 96 x 128 .* page 3, 128 x 96"
    ) as asked:
        open_scan(path)
    assert "--image" in asked.value.hint


@pytest.mark.parametrize(("page", "image"), [(1, SMALL), (2, LARGE), (3, LARGE.swapaxes(0, 1))])
def test_the_image_that_the_user_names_is_the_scan(tmp_path, page, image):
    path = save(tmp_path / "a.tif", (SMALL, 0), (LARGE, 0), (LARGE.swapaxes(0, 1), 0))
    with open_scan(path, image=page) as reader:
        assert reader.info.planes == 1
        np.testing.assert_array_equal(np.rint(reader.read(0) * 255), np.moveaxis(image, -1, 0))
        assert "2 further pages are copied, not restored" in reader.info.notices


@pytest.mark.parametrize("options", [{"ome": True}, {"byteorder": ">"}, {"bigtiff": True}])
@pytest.mark.parametrize("finer", [False, True])
def test_an_image_that_is_not_restored_keeps_its_sub_images(tmp_path, options, finer):
    path, target, label = tmp_path / "a.ome.tif", tmp_path / "b.ome.tif", colours((9, 7))
    with tifffile.TiffWriter(path, **options) as file:
        for image in (LARGE, LARGE[::-1], SMALL):
            facts = {"axes": "YXS"} if "ome" in options else None
            file.write(image, subifds=2, tile=(16, 16), photometric="rgb", metadata=facts)
            file.write(image[::2, ::2], subfiletype=1, compression="lzw", photometric="rgb")
            file.write(label, photometric="minisblack", compression="jpeg")
    derivation, change = (FINER, enlarge) if finer else (NOTHING, lambda values: values)
    with open_scan(path, image=2) as reader, create_scan(reader, target, derivation) as writer:
        writer.write(0, change(reader.read(0)))
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(target) as after:
        assert len(after.pages) == 3
        assert after.pages[1].pages[0].shape == ((192, 256, 3) if finer else (48, 64, 3))
        for number in (0, 2):
            for level in range(2):
                one, other = (file.pages[number].pages[level] for file in (before, after))
                np.testing.assert_array_equal(other.asarray(), one.asarray())
                assert (other.subfiletype, other.compression) == (one.subfiletype, one.compression)


@pytest.mark.parametrize("finer", [False, True])
def test_sub_images_stay_sub_images_of_their_planes(tmp_path, finer):
    path = tmp_path / "a.tif"
    planes = np.stack([LARGE, LARGE[::-1]])
    with tifffile.TiffWriter(path) as file:
        file.write(planes, subifds=1, tile=(16, 16), photometric="rgb", metadata={"axes": "ZYXS"})
        file.write(planes[:, ::2, ::2], subfiletype=1, photometric="rgb")
    result = convert(path, tmp_path / "b.tif", *((enlarge, FINER) if finer else ()))
    with tifffile.TiffFile(result) as file:
        for page, plane in zip(file.pages, planes, strict=True):
            (level,) = page.pages
            halved = plane.reshape(48, 2, 64, 2, 3).mean((1, 3))
            expected = plane.repeat(2, 0).repeat(2, 1) if finer else halved  # half of 4 times
            np.testing.assert_allclose(level.asarray(), expected, atol=0.51)
        assert len(file.pages) == 2


def test_an_image_that_is_not_there_is_refused(tmp_path):
    path = save(tmp_path / "a.tif", (SMALL, 0), (LARGE, 0))
    with pytest.raises(UnsuitableInputError, match="2 pages, but --image is 3"):
        open_scan(path, image=3)


GRAY = np.random.default_rng(0).integers(0, 4000, (4, 24, 32), np.uint16)


def two_series(path, images, **facts):
    """Write an OME-TIFF with a series for each array."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for number, image in enumerate(images):
            photometric = "rgb" if image.shape[-1] == 3 else "minisblack"
            size = {"PhysicalSizeX": 0.5 + number, "PhysicalSizeY": 0.5 + number}
            file.write(image, photometric=photometric, metadata={**facts, **size})
    return path


def slides(path):
    """Write two sections of equal size, each with its levels, as a Leica SCN has them."""
    with tifffile.TiffWriter(path) as file:
        for image in (SMALL, LARGE, LARGE[::2, ::2], LARGE[::-1], LARGE[::-2, ::2]):
            file.write(image, tile=(16, 16), photometric="rgb", metadata=None)
    return path


RIVALS = {  # the file, the pages of its images, and the planes of each
    "colour pages": (lambda p: save(p, (SMALL, 0), (LARGE, 0), (LARGE[::-1], 0)), (2, 3), 1),
    "sections of a slide": (slides, (2, 4), 1),
    "series of an OME-TIFF": (lambda p: two_series(p, [LARGE, LARGE[::-1]], axes="YXS"), (1, 2), 1),
    "gray series of an OME-TIFF": (
        lambda p: two_series(p, [GRAY[0], GRAY[1]], axes="YX"),
        (1, 2),
        1,
    ),
    "stacks of an OME-TIFF": (
        lambda p: two_series(p, [GRAY[:2], GRAY[2:]], axes="ZYX"),
        (1, 3),
        2,
    ),
    "gray stacks of tifffile": (
        lambda p: [tifffile.imwrite(p, GRAY[:2]), tifffile.imwrite(p, GRAY[2:], append=True)],
        (1, 3),
        2,
    ),
}


@pytest.mark.parametrize("kind", RIVALS)
def test_images_of_equal_rank_are_asked_for_and_chosen(tmp_path, kind):
    write, numbers, planes = RIVALS[kind]
    path = tmp_path / "a.ome.tif" if "OME" in kind else tmp_path / "a.tif"
    write(path)
    with pytest.raises(UnsuitableInputError, match="several images") as asked:
        open_scan(path)
    assert all(f"page {number}, " in str(asked.value) for number in numbers)
    assert "--image" in asked.value.hint
    for number in numbers:
        for page in range(number, number + planes):  # each of its planes names an image
            with open_scan(path, image=page) as reader, tifffile.TiffFile(path) as file:
                assert reader.info.planes == planes
                for plane in range(planes):
                    stored = file.pages[number - 1 + plane].asarray()
                    read = reader.stored(plane)
                    np.testing.assert_array_equal(read.reshape(stored.shape), stored)


STACKS = {
    "gray pages": lambda path: save_gray(path, metadata=None),
    "gray pages that tifffile wrote one by one": lambda path: save_gray(path),
    "one array of tifffile": lambda path: tifffile.imwrite(path, GRAY, photometric="minisblack"),
    "an OME-TIFF with Z": lambda path: two_series(path, [GRAY], axes="ZYX"),
    "an OME-TIFF with Z and T": lambda path: two_series(
        path, [GRAY.reshape(2, 2, 24, 32)], axes="TZYX"
    ),
    "an OME-TIFF with Z in colour": lambda path: two_series(path, [np.stack([LARGE] * 4)]),
    "an ImageJ hyperstack": lambda path: tifffile.imwrite(
        path, GRAY.reshape(2, 2, 24, 32), imagej=True, metadata={"axes": "TZYX"}
    ),
    "an array in colour of tifffile": lambda path: tifffile.imwrite(
        path, np.stack([LARGE] * 4), photometric="rgb"
    ),
}


def save_gray(path, **how):
    with tifffile.TiffWriter(path) as file:
        for plane in GRAY:
            file.write(plane, photometric="minisblack", **how)


@pytest.mark.parametrize("kind", STACKS)
def test_the_planes_of_a_stack_are_one_image(tmp_path, kind):
    path = tmp_path / ("a.ome.tif" if "OME" in kind else "a.tif")
    STACKS[kind](path)
    with open_scan(path) as reader:
        assert reader.info.planes == 4


def test_a_gray_page_that_is_named_is_restored_alone(tmp_path):
    save_gray(tmp_path / "a.tif", metadata=None)
    with open_scan(tmp_path / "a.tif", image=3) as reader:
        assert reader.info.planes == 1
        np.testing.assert_array_equal(reader.stored(0)[..., 0], GRAY[2])
        assert "3 further pages are copied, not restored" in reader.info.notices


def test_only_the_chosen_series_of_an_ome_tiff_gets_finer(tmp_path):
    path = two_series(tmp_path / "a.ome.tif", [LARGE, LARGE[::-1]], axes="YXS")
    with open_scan(path, image=2) as reader:
        assert reader.info.spacing_mm[1:] == pytest.approx((1.5e-3, 1.5e-3))
        with create_scan(reader, tmp_path / "b.ome.tif", FINER) as writer:
            writer.write(0, enlarge(reader.read(0)))
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        assert [series.shape for series in file.series] == [(96, 128, 3), (384, 512, 3)]
        np.testing.assert_array_equal(file.pages[0].asarray(), LARGE)
        assert 'PhysicalSizeX="0.5"' in file.ome_metadata
        assert 'PhysicalSizeX="0.375"' in file.ome_metadata
