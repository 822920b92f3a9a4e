"""TIFF files that lie: each gets one sentence, and never the machine's memory."""

import struct
import zlib
from itertools import product
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from ratcli.errors import RatError, UnreadableInputError
from ratcli.formats import open_scan
from tests.formats.child_memory import open_in_child

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
BOUND = 300 << 20  # an interpreter with numpy, tifffile and its codecs takes about 90 MB


def tiff(entries, data=b"", *, link=0):
    """Make a little-endian TIFF with one directory, the data before it."""
    start = 8 + len(data)
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    directory = struct.pack("<H", len(entries)) + packed + struct.pack("<I", link or 0)
    return struct.pack("<2sHI", b"II", 42, start) + data + directory


def tiled(height, width, tile, compression, segments, bits=8):
    """Make a gray TIFF with so many tiles, each with the same bytes."""
    data, count = segments[0], len(segments)
    lists = struct.pack(f"<{count}I", *[8] * count) + struct.pack(
        f"<{count}I", *[len(data)] * count
    )
    data += b"\0" * (len(data) % 2)
    where = 8 + len(data)
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits)]
    entries += [(259, 3, 1, compression), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries += [(322, 4, 1, tile), (323, 4, 1, tile)]
    if count == 1:
        entries += [(324, 4, 1, 8), (325, 4, 1, len(segments[0]))]
        return tiff(entries, data)
    entries += [(324, 4, count, where), (325, 4, count, where + 4 * count)]
    return tiff(entries, data + lists)


def refused(path, content, **options):
    path.write_bytes(content)
    with pytest.raises(RatError) as caught, open_scan(path, **options) as reader:
        reader.read(0)
    return str(caught.value)


@pytest.mark.parametrize("compression", [1, 8])
def test_four_tiles_that_claim_to_be_a_slide_are_counted(tmp_path, compression):
    path = tmp_path / "a.tif"
    path.write_bytes(tiled(60000, 60000, 256, compression, [zlib.compress(bytes(65536))] * 4))
    opened = open_in_child(path)
    assert "which are 55225 tiles, but the file lists 4" in opened.outcome
    assert opened.peak_bytes < BOUND


def bombs():
    """Yield compressions, each with a stream that inflates to 32 MB or more."""
    packer = zlib.compressobj(9)
    blocks = [packer.compress(bytes(1 << 24)) for _ in range(8)]
    yield 8, b"".join([*blocks, packer.flush()])
    yield 32773, b"\x81\0" * (1 << 19)  # PackBits: each pair stands for 128 zeros
    for code, name in ((5, "lzw"), (50000, "zstd"), (34925, "lzma")):
        yield code, bytes(getattr(imagecodecs, f"{name}_encode")(bytes(1 << 25)))


def test_tiles_that_inflate_to_many_megabytes_are_cut_short(tmp_path):
    paths = []
    for compression, bomb in bombs():
        paths.append(tmp_path / f"{compression}.tif")
        paths[-1].write_bytes(tiled(256, 256, 256, compression, [bomb]))
    opened = open_in_child(*paths)
    assert all(o == "read" or o.startswith("UnreadableInputError") for o in opened.outcomes)
    assert opened.peak_bytes < BOUND


def jpeg_claiming(height, width):
    data = bytearray(imagecodecs.jpeg_encode(np.zeros((16, 16), np.uint8)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg2000_claiming(height, width):
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((16, 16), np.uint8), codecformat="j2k"))
    size = data.index(b"\xff\x51")
    data[size + 6 : size + 14] = struct.pack(">II", width, height)
    return bytes(data)


def test_a_codestream_that_claims_a_huge_image_is_not_decoded(tmp_path):
    paths = []
    claims = {7: jpeg_claiming, 34712: jpeg2000_claiming}
    for compression, claiming in claims.items():
        paths.append(tmp_path / f"{compression}.tif")
        paths[-1].write_bytes(tiled(256, 256, 256, compression, [claiming(40000, 40000)]))
    opened = open_in_child(*paths)
    expected = "declares 40000 x 40000 pixels, but the page gives it 256 x 256"
    assert all(expected in outcome for outcome in opened.outcomes)
    assert opened.peak_bytes < BOUND


def test_a_codestream_larger_than_its_tile_is_not_decoded(tmp_path):
    stream = bytes(imagecodecs.jpeg2k_encode(np.zeros((1000, 900), np.uint8)))
    content = tiled(64, 64, 64, 34712, [stream])
    assert "declares 1000 x 900 pixels" in refused(tmp_path / "a.tif", content)


def test_absurd_dimensions_take_no_memory(tmp_path):
    paths = []
    sizes = ((1 << 31, 1 << 31), (0xFFFFFFFF, 1), (1, 1 << 30))
    for number, ((height, width), rows) in enumerate(product(sizes, (1, 0xFFFFFFFF))):
        entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
        entries += [(262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1)]
        paths.append(tmp_path / f"{number}.tif")
        paths[-1].write_bytes(tiff([*entries, (278, 4, 1, rows), (279, 4, 1, 64)], bytes(64)))
    opened = open_in_child(*paths)
    assert all(outcome.startswith("UnreadableInputError") for outcome in opened.outcomes)
    assert opened.peak_bytes < BOUND


@pytest.mark.parametrize("tile", [0, 1 << 30])
def test_absurd_tiles_are_refused(tmp_path, tile):
    assert refused(tmp_path / "a.tif", tiled(64, 64, tile, 1, [bytes(64)]))


def test_a_strip_over_the_limit_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 100), np.uint8))
    content = (tmp_path / "a.tif").read_bytes()
    assert "100 x 100 pixels, more than" in refused(tmp_path / "a.tif", content, max_pixels=9999)


def test_a_plane_over_the_limit_is_read_in_boxes_only(tmp_path):
    from ratcli.scan import Box

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 100), np.uint8), tile=(16, 16))
    with open_scan(tmp_path / "a.tif", max_pixels=9999) as reader:
        assert reader.read(0, Box(50, 50, 50, 50)).shape == (1, 50, 50)
        with pytest.raises(UnreadableInputError, match="limit of 9999"):
            reader.read(0)


def test_directories_that_run_in_a_circle_are_read_once(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), metadata=None)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    (tmp_path / "a.tif").write_bytes(content)
    with open_scan(tmp_path / "a.tif") as reader:
        assert reader.info.planes == 1


def test_a_tag_longer_than_the_file_takes_no_memory(tmp_path):
    entries = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(270, 2, 0x7FFFFFFF, 8), (273, 4, 1, 8), (277, 3, 1, 1), (279, 4, 1, 64)]
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(entries, bytes(64)))
    opened = open_in_child(path)
    assert opened.outcome == "read"  # the tag is left out, the pixels are whole
    assert opened.peak_bytes < BOUND


def test_a_file_without_pixel_data_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), tile=(64, 64), metadata=None)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        struct.pack_into("<I", content, file.pages[0].tags[325].valueoffset, 0)
    assert "holds no pixel data" in refused(tmp_path / "a.tif", content)


def test_a_jpeg_tile_without_its_end_is_refused(tmp_path):
    image = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, compression="jpeg", tile=(32, 32))
    with tifffile.TiffFile(path, mode="r+b") as file:
        counts = list(file.pages[0].databytecounts)
        file.pages[0].tags[325].overwrite([counts[0] - 5, *counts[1:]])
    assert refused(path, path.read_bytes()) == "a compressed tile or strip ends early"


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
def test_a_file_cut_anywhere_is_read_or_refused(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((32, 32, 3), np.uint8), tile=(16, 16), compression=compression)
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        assert refused(path, content[:length])


@pytest.mark.parametrize(
    "content", [b"", b"II*\0", b"MM\0+", b"II*\0\x08\0\0\0\xff\xff", bytes(99)]
)
def test_rubbish_with_the_name_of_a_tiff_is_refused(tmp_path, content):
    assert refused(tmp_path / "a.tif", content)


@pytest.mark.parametrize(
    ("photometric", "samples", "told"), [("separated", 4, "CMYK"), ("cielab", 3, "CIE L")]
)
def test_colours_that_are_not_rgb_are_named(tmp_path, photometric, samples, told):
    image = np.zeros((8, 8, samples), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric=photometric, planarconfig="contig")
    with pytest.raises(UnreadableInputError, match=told):
        open_scan(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["webp", "lerc", "jpegxl", "png", "jpegxr"])
def test_compressions_without_a_bounded_decoder_are_refused(tmp_path, compression):
    image = np.zeros((32, 32, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", compression=compression)
    with pytest.raises(UnreadableInputError, match=f"compressed with {compression}, which is not"):
        open_scan(tmp_path / "a.tif")


def test_one_bit_pixels_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), bool))
    with pytest.raises(UnreadableInputError, match="1 bit"):
        open_scan(tmp_path / "a.tif")


REAL = sorted((SHARED / "formats" / "tiff").rglob("*.*"))


@pytest.mark.skipif(not REAL, reason="no real images beside the repository")
def test_every_real_file_is_read_or_refused_with_a_sentence():
    sentences = {}
    for path in REAL:
        try:
            with open_scan(path) as reader:
                assert np.isfinite(reader.read(reader.info.planes - 1)).all(), path.name
                assert path.parent.name != "broken", path.name
        except RatError as error:
            sentences[path.name] = str(error)
    assert min(len(sentence) for sentence in sentences.values()) > 20


BROKEN = sorted((SHARED / "formats" / "tiff" / "broken").glob("*"))


@pytest.mark.skipif(not BROKEN, reason="no broken images beside the repository")
def test_broken_files_are_refused_in_bounded_memory():
    opened = open_in_child(*BROKEN)
    assert len(opened.outcomes) == len(BROKEN)
    assert all(outcome.startswith("UnreadableInputError") for outcome in opened.outcomes)
    assert opened.peak_bytes < BOUND


def directory(link, *more):
    """Make the directory of a gray page of 8 x 8 pixels."""
    entries = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64), *more]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", link)


@pytest.mark.parametrize("are_linked", [False, True])
def test_pages_that_share_one_long_description_are_refused(tmp_path, are_linked):
    description, count = b"x" * (1 << 21) + b"\0\0", 200
    shared = (270, 2, len(description), 8)
    length, start = len(directory(0, shared)), 8 + len(description) + 4 * count
    places = [start + number * length for number in range(count)]
    if are_linked:  # as SubIFDs of one page
        pages = [directory(0, shared)] * count
        first = places[-1] + length
        pages.append(directory(0, (330, 4, count, 8 + len(description))))
    else:
        pages, first = [directory(place, shared) for place in (*places[1:], 0)], start
    path = tmp_path / "a.tif"
    head = struct.pack("<2sHI", b"II", 42, first) + description
    path.write_bytes(head + struct.pack(f"<{count}I", *places) + b"".join(pages))
    opened = open_in_child(path)
    assert "the tags of the pages take more bytes than the file has" in opened.outcome
    assert opened.peak_bytes < BOUND


def test_a_page_of_far_too_many_sub_images_is_refused(tmp_path):
    offsets = struct.pack("<90000I", *range(8, 90008))
    path = tmp_path / "a.tif"
    head = struct.pack("<2sHI", b"II", 42, 8 + len(offsets)) + offsets
    path.write_bytes(head + directory(0, (330, 4, 90000, 8)))
    opened = open_in_child(path)
    assert "more than 80000 pages and SubIFDs" in opened.outcome
    assert opened.peak_bytes < BOUND


def test_samples_of_a_pixel_that_no_page_has_are_refused_before_decoding(tmp_path):
    frame = bytes(imagecodecs.jpeg2k_encode(np.zeros((16, 16, 3), np.uint8), codecformat="J2K"))
    frame = frame[:40] + struct.pack(">H", 16000) + frame[42:]
    assert "16000 samples" in refused(tmp_path / "a.tif", tiled(16, 16, 16, 34712, [frame]))


@pytest.mark.parametrize(
    "start", ["<UUID ", "<Pixels ", "<ROI>", "<ROI ", "<Image>", "<ROI><Mask>", 'x="1', "<Shape "]
)
def test_an_ome_xml_of_unclosed_elements_is_searched_in_one_pass(tmp_path, start):
    """A quadratic search of two million characters would take hours: the child has a minute."""
    pixels = '<Pixels SizeX="8" SizeY="8" Type="uint8" DimensionOrder="XYCZT" ID="Pixels:0">'
    inside = start * (2_000_000 // len(start))
    text = f"<?xml version='1.0'?><OME><Image>{pixels}{inside}</Pixels></Image></OME>"
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), description=text, metadata=None)
    assert open_in_child(path).outcome == "read"
