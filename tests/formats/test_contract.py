"""The one contract of every format: what is read, written and read again is the same scan."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from ratcli.formats import create_scan, open_scan
from ratcli.scan import Box, Derivation
from tests.formats.dicom_scans import (
    COMPRESSED,
    NATIVE,
    dicom_dataset,
    rgb_dataset,
    save_dicom,
    save_in,
    save_series,
)
from tests.formats.dicom_slides import picture, save_parts, slide_dataset
from tests.formats.enhanced_scans import ENHANCED_CT, enhanced_dataset

IDENTITY = Derivation("identity", "nothing was changed", "identity", version="1")
QUICK = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Facts:
    """All that must survive: values of each plane, geometry and unit."""

    values: list[np.ndarray]
    padding: list[np.ndarray]
    facts: tuple


def facts_of(reader) -> Facts:
    info = reader.info
    planes = range(info.planes)
    return Facts(
        [reader.read(plane) for plane in planes],
        [np.array(reader.padding(plane)) for plane in planes],
        (info.planes, info.channels, info.height, info.width, info.modality, info.unit),
    )


def boxes(height, width, tile):
    """Cover a plane in row-major order; whole where `tile` is None."""
    if tile is None:
        return [None]
    return [
        Box(top, left, min(tile, height - top), min(tile, width - left))
        for top in range(0, height, tile)
        for left in range(0, width, tile)
    ]


def write_identity(reader, target, tile=None):
    with create_scan(reader, target, IDENTITY, overwrite=True) as writer:
        for plane in range(reader.info.planes):
            for box in boxes(reader.info.height, reader.info.width, tile):
                writer.write(plane, reader.read(plane, box), box)


def check_contract(source, target, *, tile=None, tolerance=0.0):
    """Hold a scan to the contract.

    Args:
        source: path of the scan.
        target: path to write to.
        tile: write in boxes of this size.
        tolerance: most that a value may change.
    """
    with open_scan(source) as reader:
        before, spacing = facts_of(reader), reader.info.spacing_mm
        write_identity(reader, target, tile)
    with open_scan(target) as reader:
        after = facts_of(reader)
        assert after.facts == before.facts
        assert reader.info.spacing_mm == pytest.approx(spacing)
    for first, second in zip(before.values, after.values, strict=True):
        assert first.dtype == second.dtype == np.float32
        np.testing.assert_allclose(second, first, rtol=0, atol=tolerance)
    for first, second in zip(before.padding, after.padding, strict=True):
        np.testing.assert_array_equal(second, first)


NUMBERS = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]


def numbers(rng, shape, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        values = rng.normal(0, 10.0 ** rng.integers(-3, 5), shape).astype(dtype)
        values[rng.random(shape) < 0.05] = np.nan
        return values
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


@st.composite
def nifti_files(draw):
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=2, max_size=4)))
    dtype = draw(st.sampled_from(NUMBERS))
    affine = np.eye(4)
    order = draw(st.permutations([0, 1, 2]))
    signs = draw(st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3))
    zooms = draw(st.lists(st.sampled_from([0.5, 1.0, 2.4]), min_size=3, max_size=3))
    affine[:3, :3] = (np.diag(np.multiply(signs, zooms)) + draw(st.sampled_from([0, 0.1])))[order]
    affine[:3, 3] = draw(st.sampled_from([(0, 0, 0), (-90.5, 126, -72)]))
    return {
        "data": numbers(np.random.default_rng(draw(st.integers(0, 99))), shape, dtype),
        "affine": affine,
        "kind": draw(st.sampled_from([nib.Nifti1Image, nib.Nifti2Image])),
        "scaling": draw(st.sampled_from([None, (1.0, -1024.0), (0.0037, 12.5), (-2.0, 0.0)])),
        "suffix": draw(st.sampled_from([".nii", ".nii.gz"])),
        "swap": draw(st.booleans()),
        "units": draw(st.sampled_from(["mm", "micron", "meter", "unknown"])),
    }


def save_nifti(folder, made):
    image = made["kind"](made["data"], made["affine"], dtype=made["data"].dtype)
    image.header.set_xyzt_units(made["units"])
    if made["swap"]:
        header = image.header.as_byteswapped(">")
        image = made["kind"](made["data"], made["affine"], header)
    if made["scaling"] and made["data"].dtype.kind != "f":
        image.header.set_slope_inter(*made["scaling"])
    path = folder / f"a{made['suffix']}"
    nib.save(image, path)
    return path


@QUICK
@given(made=nifti_files(), tile=st.sampled_from([None, 2, 5]))
def test_any_nifti_keeps_the_contract(tmp_path, made, tile):
    source = save_nifti(tmp_path, made)
    target = tmp_path / f"b{made['suffix']}"
    check_contract(source, target, tile=tile)
    before, after = nib.load(source), nib.load(target)
    np.testing.assert_array_equal(after.affine, before.affine)
    first, second = (np.asanyarray(image.dataobj.get_unscaled()) for image in (before, after))
    assert first.dtype == second.dtype
    np.testing.assert_array_equal(second, first)


@st.composite
def tiff_files(draw):
    dtype = draw(st.sampled_from(NUMBERS))
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    samples = draw(st.sampled_from([1, 3, 4]))
    kind = draw(st.sampled_from(["plain", "ome", "imagej"]))
    if kind == "imagej":  # ImageJ knows few types
        dtype = "u1" if samples > 1 else draw(st.sampled_from(["u1", "u2", "f4"]))
        width = max(2, width)  # tifffile writes planes one pixel wide as the rows of one image
    planes = draw(st.integers(1, 3))
    shape = (planes, height, width) + ((samples,) if samples > 1 else ())
    options = {"photometric": "rgb" if samples > 1 else "minisblack"}
    if samples == 1 and kind == "plain":
        options["photometric"] = draw(st.sampled_from(["minisblack", "miniswhite"]))
    if kind == "imagej":
        options |= {"imagej": True, "resolution": (4, 4)}
        options["metadata"] = {"axes": "ZYX"[:3] + ("S" if samples > 1 else ""), "unit": "um"}
        return numbers(np.random.default_rng(0), shape, dtype), options
    if kind == "ome":
        options |= {"ome": True, "metadata": {"axes": "ZYX" + ("S" if samples > 1 else "")}}
        options["metadata"]["PhysicalSizeX"] = 0.25
        options["metadata"]["PhysicalSizeY"] = 0.5
    options["compression"] = draw(st.sampled_from([None, "zlib", "lzw", "zstd"]))
    options["tile"] = draw(st.sampled_from([None, (16, 16), (32, 16)]))
    options["rowsperstrip"] = draw(st.sampled_from([None, 3])) if not options["tile"] else None
    options["bigtiff"] = draw(st.booleans())
    options["byteorder"] = draw(st.sampled_from("<>"))
    options["resolution"] = draw(st.sampled_from([None, (2e4, 1e4)]))
    options["resolutionunit"] = "centimeter"
    return numbers(np.random.default_rng(draw(st.integers(0, 99))), shape, dtype), options


@QUICK
@given(made=tiff_files(), tile=st.sampled_from([None, 7, 16]))
def test_any_tiff_keeps_the_contract(tmp_path, made, tile):
    image, options = made
    source, target = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(source, image, **options)
    check_contract(source, target, tile=tile)
    before, after = tifffile.imread(source), tifffile.imread(target)
    assert before.dtype == after.dtype
    np.testing.assert_array_equal(after, before)


@st.composite
def dicom_files(draw):
    bits = draw(st.sampled_from([8, 12, 16]))
    is_signed = draw(st.booleans())
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    slope, intercept = draw(st.sampled_from([(1, -1024), (1, 0), (0.5, 100), (2.25, -0.5)]))
    elements = {
        "BitsAllocated": 8 if bits == 8 else 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(is_signed),
        "RescaleSlope": str(slope),
        "RescaleIntercept": str(intercept),
        "PhotometricInterpretation": draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"])),
    }
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    syntax = draw(st.sampled_from([*NATIVE, *COMPRESSED]))
    return rng.integers(low, high, shape, endpoint=True), elements, syntax


@QUICK
@given(made=dicom_files(), tile=st.sampled_from([None, 7]))
def test_any_dicom_keeps_the_contract(tmp_path, made, tile):
    stored, elements, syntax = made
    source, target = tmp_path / "a.dcm", tmp_path / "b.dcm"
    save_in(dicom_dataset(stored, **elements), source, syntax)
    check_contract(source, target, tile=tile)
    before, after = dcmread(source), dcmread(target)
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(stored_in(target), stored_in(source))


def stored_in(path):
    with open_scan(path) as reader:
        return reader.layout(0).unpack(reader.frame(0).words)


def test_a_dicom_series_keeps_the_contract(tmp_path):
    check_contract(save_series(tmp_path / "a"), tmp_path / "b")


def save_enhanced(folder):
    return save_dicom(enhanced_dataset("CT", ENHANCED_CT), folder / "a.dcm")


def save_colours(folder):
    return save_dicom(rgb_dataset(np.arange(72).reshape(4, 6, 3), 8, 1), folder / "a.dcm")


def save_dicom_slide(folder):
    return save_dicom(slide_dataset(picture()), folder / "a.dcm")


def save_split_slide(folder):
    return save_parts(folder / "a.dcm", picture())


def save_zip(folder):
    save_series(folder / "series")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for path in sorted((folder / "series").iterdir()):
            archive.write(path, path.name)
    return folder / "a.zip"


def save_pair(folder):
    image = nib.Nifti1Pair(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.diag([2, 3, 4, 1]))
    nib.save(image, folder / "a.hdr")
    return folder / "a.hdr"


def save_palette(folder):
    colormap = (np.arange(768) * 257 % 65536).astype(np.uint16).reshape(3, 256)
    index = np.arange(600, dtype=np.uint8).reshape(20, 30)
    options = {"photometric": "palette", "colormap": colormap}
    tifffile.imwrite(folder / "a.tif", index, **options)
    return folder / "a.tif"


def save_planar(folder):
    image = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    options = {"photometric": "rgb", "planarconfig": "separate", "bigtiff": True}
    tifffile.imwrite(folder / "a.tif", image, **options)
    return folder / "a.tif"


def save_pyramid(folder):
    image = np.arange(64 * 96 * 3, dtype=np.uint8).reshape(64, 96, 3)
    with tifffile.TiffWriter(folder / "a.tif") as file:
        options = {"tile": (16, 16), "photometric": "rgb", "metadata": None}
        file.write(image, resolution=(4e4, 4e4), resolutionunit="centimeter", **options)
        file.write(image[::2, ::2], subfiletype=1, **options)
    return folder / "a.tif"


MADE_KINDS = {
    "DICOM, enhanced": save_enhanced,
    "DICOM in colour planes": save_colours,
    "DICOM slide": save_dicom_slide,
    "DICOM slide in several files": save_split_slide,
    "DICOM series in a zip archive": save_zip,
    "NIfTI in two files": save_pair,
    "TIFF with a palette": save_palette,
    "TIFF in colour planes, BigTIFF": save_planar,
    "TIFF pyramid": save_pyramid,
}


@pytest.mark.parametrize("tile", [None, 7])
@pytest.mark.parametrize("kind", MADE_KINDS)
def test_a_made_file_of_each_kind_keeps_the_contract(tmp_path, kind, tile):
    source = MADE_KINDS[kind](tmp_path)
    suffix = "" if source.suffix == ".zip" else source.suffix
    check_contract(source, tmp_path / f"b{suffix}", tile=tile)


SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
REAL_KINDS = {
    "DICOM CT": "formats/dicom/pydicom_small/CT_small.dcm",
    "DICOM CT in JPEG 2000": "formats/dicom/nema_wg04/CT1_J2KR",
    "DICOM MR, multi-frame": "formats/dicom/enhanced/emri_small.dcm",
    "DICOM CT, enhanced": "formats/dicom/enhanced/eCT_Supplemental.dcm",
    "DICOM RGB": "formats/dicom/colour/SC_rgb_16bit.dcm",
    "NIfTI-1, 4-D": "formats/nifti/example4d.nii.gz",
    "NIfTI-2": "formats/nifti/example_nifti2.nii.gz",
    "NIfTI with slope and intercept": "formats/nifti/functional.nii",
    "NIfTI PET in float": "pet/sts_nifti/STS_001_PET.nii.gz",
    "TIFF in float": "formats/tiff/ldct_iqa_float/test007.tiff",
    "OME-TIFF": "formats/tiff/ome/cells-2z.ome.tif",
    "ImageJ": "formats/tiff/ome/cells-gray16.tif",
    "SVS": "formats/tiff/pyramid/small.svs",
    "pyramid": "formats/tiff/pyramid/boxes.tiff",
}


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_a_real_file_of_each_kind_keeps_the_contract(tmp_path, kind):
    source = SHARED / REAL_KINDS[kind]
    if not source.is_file():
        pytest.skip(f"no scan at {source}")
    check_contract(source, tmp_path / source.name)


def test_a_real_pet_series_keeps_the_contract_within_half_a_slope(tmp_path):
    source = SHARED / "formats" / "dicom" / "pet_suv_gml"
    if not source.is_dir():
        pytest.skip(f"no scan at {source}")
    with open_scan(source) as reader:
        highest = max(reader.read(plane).max() for plane in range(reader.info.planes))
    # a slope is the slice's maximum / 32767; float32 adds a little
    check_contract(source, tmp_path / "b", tolerance=0.501 * highest / 32767)
