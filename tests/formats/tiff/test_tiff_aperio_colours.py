"""JPEG 2000 of Aperio: 33003 is YCbCr and 33005 is RGB, whatever the photometric tag says."""

import struct

import imagecodecs
import numpy as np
import pytest
import tifffile

from ratcli.formats import open_scan
from tests.formats.tiff_scans import convert, tags

SIZE = 128
ABOUT = "Aperio Image Library v11.2.1 \r\n128x128 [0,0 128x128] (128x128)|AppMag = 20|MPP = 0.5"
MATRIX = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""RGB to Y, Cb and Cr, of which 128 is none (ITU-T T.871)."""


def tissue():
    rows, columns = np.mgrid[:SIZE, :SIZE]
    waves = [128 + 70 * np.sin(rows / 17 + phase) * np.cos(columns / 23) for phase in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


def ycbcr(image):
    exact = image.astype(float) @ MATRIX.T + (0, 128, 128)
    return np.clip(np.rint(exact), 0, 255).astype(np.uint8)


def save(path, samples, compression, photometric):
    options = {"codecformat": "j2k", "level": 0, "reversible": True, "mct": False}
    tifffile.imwrite(
        path,
        samples,
        tile=(SIZE, SIZE),
        photometric="rgb",
        compression="jpeg2000",
        compressionargs=options,
        description=ABOUT,
        metadata=None,
    )
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[259].overwrite(compression)
        file.pages[0].tags[262].overwrite(photometric)
    return path


def read(path):
    with open_scan(path) as reader:
        assert reader.info.unit == "RGB"
        return np.moveaxis(reader.read(0), 0, -1) * 255


def openslide_reads(path):
    openslide = pytest.importorskip("openslide", reason="openslide-python is not installed")
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        return np.asarray(slide.read_region((0, 0), 0, (SIZE, SIZE)))[..., :3]


@pytest.mark.parametrize("photometric", [2, 6])
def test_33003_is_ycbcr_as_openslide_has_it(tmp_path, photometric):
    source = save(tmp_path / "a.svs", ycbcr(tissue()), 33003, photometric)
    found = read(source)
    np.testing.assert_allclose(found, tissue(), atol=2)  # Y, Cb and Cr are rounded
    np.testing.assert_allclose(found, openslide_reads(source), atol=1.01)  # its table is integer
    result = convert(source, tmp_path / "b.svs")
    assert tags(result)[262] == 2
    np.testing.assert_allclose(tifffile.imread(result), found, atol=1e-3)


@pytest.mark.parametrize("photometric", [2, 6])
def test_33005_is_rgb_as_openslide_has_it(tmp_path, photometric):
    source = save(tmp_path / "a.svs", tissue(), 33005, photometric)
    np.testing.assert_allclose(read(source), tissue(), atol=1e-3)
    np.testing.assert_array_equal(openslide_reads(source), tissue())
    np.testing.assert_array_equal(tifffile.imread(convert(source, tmp_path / "b.svs")), tissue())


def codestream(planes, steps):
    """Join codestreams of one component each; the order CPRL keeps their packets apart."""
    options = {"level": 0, "codecformat": "j2k", "reversible": True, "resolutions": 3}
    parts = [_parts(imagecodecs.jpeg2k_encode(plane, **options)) for plane in planes]
    markers = parts[0][0]
    siz = markers[0xFF51][:34] + struct.pack(">H", len(planes))
    siz += b"".join(bytes([7, across, down]) for across, down in steps)
    cod = bytearray(markers[0xFF52])
    cod[1], cod[4] = 4, 0  # CPRL, and no colour transform
    head = b"\xff\x4f"
    for marker, body in ((0xFF51, siz), (0xFF52, bytes(cod)), (0xFF5C, markers[0xFF5C])):
        head += struct.pack(">HH", marker, len(body) + 2) + body
    data = b"".join(part for _, part in parts)
    tile = struct.pack(">HHHIBB", 0xFF90, 10, 0, len(data) + 14, 0, 1)
    return head + tile + b"\xff\x93" + data + b"\xff\xd9"


def _parts(stream):
    """Return the markers of a codestream's main header, and the packets of its tile."""
    place, markers = 2, {}
    while stream[place : place + 2] != b"\xff\x90":
        marker, length = struct.unpack_from(">HH", stream, place)
        markers[marker] = stream[place + 4 : place + 2 + length]
        place += 2 + length
    (length,) = struct.unpack_from(">I", stream, place + 6)
    data = stream.index(b"\xff\x93", place) + 2
    return markers, stream[data : place + length if length else len(stream) - 2]


@pytest.mark.parametrize("photometric", [2, 6])
def test_33003_with_half_the_chroma_is_read_as_openslide_reads_it(tmp_path, photometric):
    whole = ycbcr(tissue())
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(whole, -1, 0)]
    planes[1:] = [np.ascontiguousarray(plane[:, ::2]) for plane in planes[1:]]
    stream = codestream(planes, [(1, 1), (2, 1), (2, 1)])
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as file:
        file.write(
            iter([stream]),
            shape=whole.shape,
            dtype=whole.dtype,
            tile=(SIZE, SIZE),
            photometric="rgb",
            compression="jpeg2000",
            description=ABOUT,
            metadata=None,
        )
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[259].overwrite(33003)
        file.pages[0].tags[262].overwrite(photometric)
    np.testing.assert_allclose(read(path), openslide_reads(path), atol=1.01)
    np.testing.assert_allclose(read(path), tissue(), atol=8)  # chroma of a neighbour
