"""Standard deviations in TIFF: float32, whatever the source stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from ratcli.formats import open_scan
from ratcli.scan import Derivation
from tests.formats.tiff_scans import colours, convert, run

UNCERTAINTY = Derivation("ct-denoise", "deviations", "sd", version="1", method="uncertainty")


def deviations(values: np.ndarray) -> np.ndarray:
    return np.abs(values.astype(np.float32)) / np.float32(500) + np.float32(0.51)


def gray(dtype: str) -> np.ndarray:
    return (np.arange(40 * 50).reshape(40, 50) % 251).astype(dtype)


@pytest.mark.parametrize("dtype", ["<u1", ">u2", "<i2", "<i4", "<f4", "<f8"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 32)}])
def test_gray_gets_float32(tmp_path: Path, dtype: str, options: dict[str, object]) -> None:
    source = tmp_path / "in.tif"
    tifffile.imwrite(source, gray(dtype), byteorder=dtype[0], **options)
    target = convert(source, tmp_path / "out.tif", deviations, UNCERTAINTY)
    found = tifffile.imread(target)
    assert found.dtype.newbyteorder("=") == np.float32
    np.testing.assert_array_equal(found, deviations(gray(dtype)))
    run("tiffinfo", target)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("alpha", [False, True])
def test_colours_get_three_floats_and_no_alpha(tmp_path: Path, planar: str, alpha: bool) -> None:
    image = colours((40, 50, 4 if alpha else 3))
    source = tmp_path / "in.tif"
    tifffile.imwrite(
        source,
        image if planar == "contig" else np.moveaxis(image, -1, 0),
        photometric="rgb",
        planarconfig=planar,
        extrasamples=["unassalpha"] if alpha else None,
    )
    target = convert(source, tmp_path / "out.tif", deviations, UNCERTAINTY)
    with open_scan(target) as reader, open_scan(source) as before:
        np.testing.assert_array_equal(reader.read(0), deviations(before.read(0)))
        assert reader.info.channels == 3
    run("tiffinfo", target)


def test_a_palette_gets_three_floats(tmp_path: Path) -> None:
    source = tmp_path / "in.tif"
    table = np.random.default_rng(0).integers(0, 65535, (3, 256), dtype=np.uint16)
    tifffile.imwrite(source, gray("u1"), photometric="palette", colormap=table)
    target = convert(source, tmp_path / "out.tif", deviations, UNCERTAINTY)
    assert tifffile.imread(target).shape == (40, 50, 3)


def test_white_is_zero_no_more(tmp_path: Path) -> None:
    source = tmp_path / "in.tif"
    tifffile.imwrite(source, gray("u1"), photometric="miniswhite")
    target = convert(source, tmp_path / "out.tif", deviations, UNCERTAINTY)
    with open_scan(target) as reader, open_scan(source) as before:
        np.testing.assert_array_equal(reader.read(0), deviations(before.read(0)))


def test_an_ome_description_tells_of_floats(tmp_path: Path) -> None:
    source = tmp_path / "in.ome.tif"
    facts = {"axes": "ZYX", "PhysicalSizeX": 0.5, "SignificantBits": 12}
    tifffile.imwrite(source, np.stack([gray("u2")] * 3), metadata=facts)
    target = convert(source, tmp_path / "out.ome.tif", deviations, UNCERTAINTY)
    with tifffile.TiffFile(target) as file:
        assert 'Type="float"' in file.ome_metadata
        assert "SignificantBits" not in file.ome_metadata
        assert 'PhysicalSizeX="0.5"' in file.ome_metadata
        np.testing.assert_array_equal(file.series[0].asarray()[1], deviations(gray("u2")))


def test_an_imagej_stack_forgets_the_range_it_was_shown_in(tmp_path: Path) -> None:
    source = tmp_path / "in.tif"
    stack = np.stack([gray("u2")] * 3)
    facts = {"axes": "ZYX", "min": 0.0, "max": 250.0, "Ranges": (0.0, 250.0), "unit": "mm"}
    tifffile.imwrite(source, stack, imagej=True, metadata=facts)
    target = convert(source, tmp_path / "out.tif", deviations, UNCERTAINTY)
    with tifffile.TiffFile(target) as file:
        assert file.is_imagej
        assert {"min", "max", "Ranges"}.isdisjoint(file.imagej_metadata)
        assert file.imagej_metadata["unit"] == "mm"
        np.testing.assert_array_equal(file.asarray()[2], deviations(gray("u2")))
