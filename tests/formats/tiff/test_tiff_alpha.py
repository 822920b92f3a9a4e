"""Alpha that colours never exceed, enlarged as smoothly as they are; white that is stored as 0."""

import numpy as np
import pytest
import tifffile

from ratcli.formats import create_scan, open_scan
from ratcli.scan import Box
from tests.formats.tiff_scans import FINER, colours, convert, enlarge, tags


def faded(dtype=np.uint8, shape=(20, 30)):
    """Return RGB that is premultiplied by an alpha with a steep edge, `(H, W, 4)`."""
    peak = 1.0 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    across = np.linspace(-3, 3, shape[1])
    alpha = np.broadcast_to(1 / (1 + np.exp(-4 * across)), shape)
    bright = alpha[..., np.newaxis] * (0.9, 0.99, 0.5)
    values = np.concatenate([bright, alpha[..., np.newaxis]], axis=-1) * peak
    return values.astype(dtype)


def save(path, image, kind, **options):
    tifffile.imwrite(path, image, photometric="rgb", extrasamples=[kind], **options)
    return path


def brighter(values):
    return values + 0.2


@pytest.mark.parametrize(("kind", "hides"), [("unassalpha", True), ("unspecified", False)])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"planarconfig": "separate"}], ids=str)
def test_pixels_that_alpha_hides_hold_no_measurement(tmp_path, kind, hides, options):
    image = np.full((20, 30, 4), 200, np.uint16)
    image[5:9, 7:12, 3] = 0
    stored = np.moveaxis(image, -1, 0) if "planarconfig" in options else image
    with open_scan(save(tmp_path / "a.tif", stored, kind, **options)) as reader:
        hidden = np.zeros((20, 30), bool)
        hidden[5:9, 7:12] = hides
        np.testing.assert_array_equal(reader.padding(0), hidden)
        box = Box(4, 6, 3, 9)
        np.testing.assert_array_equal(reader.padding(0, box), hidden[box.slices])


def test_alpha_that_is_0_everywhere_hides_nothing(tmp_path):
    image = np.full((20, 30, 4), 200, np.uint8)
    image[..., 3] = 0
    with open_scan(save(tmp_path / "a.tif", image, "unassalpha")) as reader:
        assert not reader.padding(0).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("finer", [False, True])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"byteorder": ">"}], ids=str)
def test_colours_never_exceed_a_premultiplied_alpha(tmp_path, dtype, finer, options):
    source = save(tmp_path / "a.tif", faded(dtype), "assocalpha", **options)
    change = (lambda values: enlarge(brighter(values))) if finer else brighter
    path = convert(source, tmp_path / "b.tif", change, *([FINER] if finer else []))
    result = tifffile.imread(path)
    assert (result[..., :3] <= result[..., 3:]).all()
    assert (result[..., 1] == result[..., 3]).any()
    assert tags(path)[338] == (1,)


def test_colours_go_beyond_an_alpha_that_is_not_premultiplied(tmp_path):
    source = save(tmp_path / "a.tif", faded(), "unassalpha")
    result = tifffile.imread(convert(source, tmp_path / "b.tif", brighter))
    assert (result[..., :3] > result[..., 3:]).any()


def test_separate_planes_are_bounded_by_alpha_too(tmp_path):
    source = save(
        tmp_path / "a.tif", np.moveaxis(faded(), -1, 0), "assocalpha", planarconfig="separate"
    )
    result = tifffile.imread(convert(source, tmp_path / "b.tif", brighter))
    assert (result[:3] <= result[3:]).all()


def test_a_source_that_exceeds_its_own_alpha_comes_back_as_it_was(tmp_path):
    image = faded()
    image[..., 3] //= 2
    source = save(tmp_path / "a.tif", image, "assocalpha")
    np.testing.assert_array_equal(tifffile.imread(convert(source, tmp_path / "b.tif")), image)


def interpolated(alpha, scale=4):
    """Return bilinear interpolation between pixel centres, as SciPy does it."""
    ndimage = pytest.importorskip("scipy.ndimage")
    places = [(np.arange(size * scale) + 0.5) / scale - 0.5 for size in alpha.shape]
    grid = np.meshgrid(*places, indexing="ij")
    return ndimage.map_coordinates(alpha.astype(float), grid, order=1, mode="nearest")


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_interpolated_and_boxes_meet_without_a_seam(tmp_path, kind, dtype):
    image = colours((20, 30, 4), dtype)
    source, result = save(tmp_path / "a.tif", image, kind), tmp_path / "b.tif"
    with open_scan(source) as reader, create_scan(reader, result, FINER) as writer:
        whole = enlarge(reader.read(0))
        for box in (Box(0, 0, 33, 120), Box(33, 0, 47, 50), Box(33, 50, 47, 70)):
            writer.write(0, whole[(..., *box.slices)], box)
    expected = interpolated(image[..., 3])
    alpha = tifffile.imread(result)[..., 3]
    np.testing.assert_allclose(alpha, expected, atol=0.5 + 1e-9)  # half a step of rounding
    if kind == "unassalpha":
        shown = image[..., :3].repeat(4, 0).repeat(4, 1)
        np.testing.assert_array_equal(tifffile.imread(result)[..., :3], shown)


def test_an_opaque_image_stays_opaque(tmp_path):
    image = colours((20, 30, 4))
    image[..., 3] = 255
    source = save(tmp_path / "a.tif", image, "assocalpha")
    result = tifffile.imread(convert(source, tmp_path / "b.tif", enlarge, FINER))
    np.testing.assert_array_equal(result[..., 3], 255)
    np.testing.assert_array_equal(result[..., :3], image[..., :3].repeat(4, 0).repeat(4, 1))


def test_samples_of_unknown_meaning_are_repeated_since_they_may_be_labels(tmp_path):
    image = colours((20, 30, 4))
    source = save(tmp_path / "a.tif", image, "unspecified")
    result = tifffile.imread(convert(source, tmp_path / "b.tif", enlarge, FINER))
    np.testing.assert_array_equal(result, image.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_signed_and_float_numbers_whose_lowest_is_white_keep_their_tag(tmp_path, dtype, byteorder):
    image = np.linspace(-1000, 900, 20 * 30).reshape(20, 30).astype(dtype)
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, image, photometric="miniswhite", byteorder=byteorder)
    with open_scan(source, assume_unit="HU") as reader:
        np.testing.assert_array_equal(reader.read(0)[0], image.astype(np.float32))
    result = convert(source, tmp_path / "b.tif", lambda values: values + 1)
    assert tags(result)[262] == 0
    np.testing.assert_allclose(tifffile.imread(result), image + dtype(1), rtol=1e-6)
