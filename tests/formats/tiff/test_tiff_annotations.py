"""Regions of interest in pixel coordinates follow a finer grid, or are left out with a notice."""

import base64
import bz2
import re
import zlib

import numpy as np
import pytest
import tifffile

from ratcli.formats import open_scan
from tests.formats.tiff_scans import FINER, NOTHING, colours, convert, enlarge

SHAPES = (
    '<Rectangle ID="Shape:0" X="30.0" Y="20.5" Width="20" Height="10" StrokeWidth="2"/>'
    '<Point ID="Shape:1" X="40" Y="30" TheZ="1"/>'
    '<Polygon ID="Shape:2" Points="30,20 50.5,20 50,40"/>'
    '<Polyline ID="Shape:3" Points="1,2 3,4"/>'
    '<Ellipse ID="Shape:4" X="9" Y="8" RadiusX="3" RadiusY="2"/>'
    '<Line ID="Shape:5" X1="1" Y1="2" X2="3" Y2="1e1"/>'
    '<Label ID="Shape:6" X="5" Y="6" Text="near X = 5" FontSize="12"/>'
)
TURNED = (
    '<Rectangle ID="Shape:7" X="1" Y="1" Width="2" Height="2">'
    '<Transform A00="0" A01="-1" A02="5" A10="1" A11="0" A12="6"/></Rectangle>'
)


def save(path, shapes, *, size=(40, 50), byteorder="<"):
    image = colours((*size, 3))
    tifffile.imwrite(path, image, photometric="rgb", ome=True, byteorder=byteorder)
    with tifffile.TiffFile(path) as file:
        text = file.ome_metadata
    region = f'<ROI ID="ROI:0"><Union>{shapes}</Union></ROI>'
    text = text.replace("</Image>", '<ROIRef ID="ROI:0"/></Image>').replace(
        "</OME>", region + "</OME>"
    )
    tifffile.tiffcomment(path, text.encode())
    return path


def description(path):
    with tifffile.TiffFile(path) as file:
        return file.ome_metadata


def shapes_of(text):
    ome_types = pytest.importorskip("ome_types", reason="ome-types is not installed")
    return sorted(ome_types.from_xml(text, validate=True).rois[0].union, key=lambda one: one.id)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_every_shape_of_an_ome_xml_is_four_times_as_far(tmp_path, byteorder):
    source = save(tmp_path / "a.ome.tif", SHAPES + TURNED, byteorder=byteorder)
    result = description(convert(source, tmp_path / "b.ome.tif", enlarge, FINER))
    rectangle, point, polygon, line2, ellipse, line, label, turned = shapes_of(result)
    assert (rectangle.x, rectangle.y, rectangle.width, rectangle.height) == (120, 82, 80, 40)
    assert rectangle.stroke_width == 2
    assert (point.x, point.y, point.the_z) == (160, 120, 1)
    assert polygon.points == "120,80 202,80 200,160"
    assert line2.points == "4,8 12,16"
    assert (ellipse.x, ellipse.y, ellipse.radius_x, ellipse.radius_y) == (36, 32, 12, 8)
    assert (line.x1, line.y1, line.x2, line.y2) == (4, 8, 12, 40)
    assert (label.x, label.y, label.text, label.font_size) == (20, 24, "near X = 5", 12)
    matrix = turned.transform
    assert (matrix.a00, matrix.a01, matrix.a02) == (0, -1, 20)
    assert (matrix.a10, matrix.a11, matrix.a12) == (1, 0, 24)


def test_the_same_grid_keeps_every_region_to_the_byte(tmp_path):
    source = save(tmp_path / "a.ome.tif", SHAPES + TURNED)
    result = description(convert(source, tmp_path / "b.ome.tif"))
    assert (
        re.search("<ROI .*</ROI>", result)[0] == re.search("<ROI .*</ROI>", description(source))[0]
    )


def test_regions_with_a_prefix_and_single_quotes_are_moved(tmp_path):
    shapes = "<ome:Point ID='Shape:0' X='3' Y='4'/>"
    text = description(save(tmp_path / "a.ome.tif", shapes)).replace("ROI ID", "ome:ROI ID")
    text = text.replace("</ROI>", "</ome:ROI>").replace("Union>", "ome:Union>")
    tifffile.tiffcomment(tmp_path / "a.ome.tif", text.encode())
    result = description(convert(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif", enlarge, FINER))
    assert "X='12' Y='16'" in result


@pytest.mark.parametrize(
    ("how", "pack"), [("none", bytes), ("zlib", zlib.compress), ("bzip2", bz2.compress)]
)
def test_a_mask_is_enlarged_with_its_bitmap(tmp_path, how, pack):
    bits = (np.arange(35).reshape(5, 7) % 3 == 0).astype(np.uint8)
    data = pack(np.packbits(bits).tobytes())
    mask = (
        f'<Mask ID="Shape:0" X="2" Y="3" Width="7" Height="5"><BinData BigEndian="true" '
        f'Length="{len(data)}" Compression="{how}">{base64.b64encode(data).decode()}'
        "</BinData></Mask>"
    )
    source = save(tmp_path / "a.ome.tif", mask)
    (made,) = shapes_of(description(convert(source, tmp_path / "b.ome.tif", enlarge, FINER)))
    assert (made.x, made.y, made.width, made.height) == (8, 12, 28, 20)
    packed = made.bin_data.value if isinstance(made.bin_data.value, bytes) else None
    packed = base64.b64decode(made.bin_data.value) if packed is None else packed
    assert made.bin_data.length == len(packed)
    unpack = {"none": bytes, "zlib": zlib.decompress, "bzip2": bz2.decompress}[how]
    found = np.unpackbits(np.frombuffer(unpack(packed), np.uint8), count=20 * 28)
    np.testing.assert_array_equal(found.reshape(20, 28), bits.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize(
    "shape",
    [
        '<Mask ID="Shape:0" X="2" Y="3" Width="70" Height="5">'
        '<BinData BigEndian="true" Length="1">AA==</BinData></Mask>',
        '<Path ID="Shape:0" Definition="M 1 2 L 3 4"/>',
        '<Rectangle ID="Shape:0" X="1" Y="2" Width="3" Height="4" Transform="rotate(30 1 1)"/>',
    ],
    ids=["mask without its bitmap", "path", "transform in words"],
)
def test_a_region_that_cannot_be_moved_is_left_out_and_told(tmp_path, shape):
    source = save(tmp_path / "a.ome.tif", shape)
    with open_scan(source) as reader:
        assert any("1 regions of interest cannot be scaled" in told for told in reader.info.notices)
    result = description(convert(source, tmp_path / "b.ome.tif", enlarge, FINER))
    assert "ROI" not in result
    assert 'SizeX="200"' in result
    assert shape in description(convert(source, tmp_path / "c.ome.tif"))


def save_imagej(path, byteorder, **facts):
    tifffile.imwrite(path, colours((40, 50, 3)), imagej=True, byteorder=byteorder, metadata=facts)
    return path


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_overlays_of_imagej_are_left_out_of_a_finer_grid_and_told(tmp_path, byteorder):
    regions = {"ROI": b"Iout" + bytes(60), "Overlays": [b"Iout" + bytes(60), b"Iout" + bytes(64)]}
    kept = {"Info": "a note", "Labels": ["one"], "Properties": {"a": "b"}}
    source = save_imagej(tmp_path / "a.tif", byteorder, **regions, **kept)
    with open_scan(source) as reader:
        assert any("overlays of ImageJ" in notice for notice in reader.info.notices)
    with tifffile.TiffFile(convert(source, tmp_path / "b.tif", enlarge, FINER)) as file:
        found = file.imagej_metadata
    assert not {"ROI", "Overlays"} & found.keys()
    with tifffile.TiffFile(source) as file:
        before = file.imagej_metadata
    for name in kept:
        assert found[name] == before[name]
    with tifffile.TiffFile(convert(source, tmp_path / "c.tif", derivation=NOTHING)) as file:
        assert file.imagej_metadata == before


def test_nothing_is_left_where_imagej_told_of_regions_alone(tmp_path):
    source = save_imagej(tmp_path / "a.tif", "<", ROI=b"Iout" + bytes(60))
    with tifffile.TiffFile(convert(source, tmp_path / "b.tif", enlarge, FINER)) as file:
        assert not {50838, 50839} & {tag.code for tag in file.pages[0].tags}


def test_a_file_without_regions_gives_no_notice(tmp_path):
    source = save_imagej(tmp_path / "a.tif", "<", Info="a note")
    with open_scan(source) as reader:
        assert not any("regions" in notice for notice in reader.info.notices)
