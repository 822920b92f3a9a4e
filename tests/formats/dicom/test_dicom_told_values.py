"""Values that are not what they look like: commas, told units, tables, and codestreams."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from ratcli.errors import UnreadableInputError, UnsuitableInputError
from ratcli.formats import open_scan
from ratcli.tasks import get_task
from tests.formats.dicom_scans import (
    NATIVE,
    dicom_dataset,
    open_dicom,
    ramp,
    restore,
    save_dicom,
    save_in,
    save_series,
)
from tests.formats.enhanced_scans import ENHANCED, enhanced_dataset, group

COMMAS = {
    "RescaleIntercept": "-1024,0",
    "RescaleSlope": "0,5",
    "PixelSpacing": ["0,7", "0,5"],
    "SliceThickness": "2,5",
    "ImagePositionPatient": ["-10,0", "-20", "5,25"],
}


def with_text(dataset: Dataset, keyword: str, value: str | list[str]) -> Dataset:
    """Set a decimal string to a text that pydicom would not write."""
    data = "\\".join([value] if isinstance(value, str) else value).encode()
    data += b" " * (len(data) % 2)
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, "DS", len(data), data, 0, False, True)
    return dataset


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("keyword", COMMAS)
def test_a_decimal_comma_is_read_as_a_point_and_written_as_one(
    tmp_path: Path, keyword: str, syntax: str
) -> None:
    value = COMMAS[keyword]
    point = "\\".join([value] if isinstance(value, str) else value).replace(",", ".").split("\\")
    with_comma = save_in(
        with_text(dicom_dataset(ramp()), keyword, value), tmp_path / "c.dcm", syntax
    )
    with_point = save_in(dicom_dataset(ramp(), **{keyword: point}), tmp_path / "point.dcm", syntax)
    found, wanted = open_dicom(with_comma), open_dicom(with_point)
    assert np.array_equal(found.read(0), wanted.read(0))
    assert found.planes[0].geometry == wanted.planes[0].geometry
    assert [note for note in found.info.notices if keyword in note and "comma" in note]
    assert not wanted.info.notices
    out = pydicom.dcmread(restore(with_comma, tmp_path / "out.dcm", lambda hu: hu + 1))
    assert out[keyword].value == pydicom.dcmread(with_point)[keyword].value


def test_a_decimal_comma_of_a_functional_group_is_read_too(tmp_path: Path) -> None:
    dataset = enhanced_dataset(*ENHANCED[0][:2])
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        with_text(frame.PixelValueTransformationSequence[0], "RescaleIntercept", "-1024,5")
    source = save_dicom(dataset, tmp_path / "in.dcm")
    reader = open_dicom(source)
    assert reader.planes[2].values.intercept == -1024.5
    assert len(reader.info.notices) == 1
    out = pydicom.dcmread(restore(source, tmp_path / "out.dcm"))
    written = out.PerFrameFunctionalGroupsSequence[2].PixelValueTransformationSequence[0]
    assert written.RescaleIntercept == -1024.5


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("RescaleIntercept", "none"),
        ("RescaleIntercept", "-1_024"),
        ("RescaleIntercept", "nan"),
        ("RescaleSlope", "1.024,5"),
        ("RescaleSlope", "1 mg"),
        ("PixelSpacing", ["0.7", "wide"]),
        ("SliceThickness", "2.5mm"),
        ("ImagePositionPatient", ["0", "x", "0"]),
    ],
)
def test_what_is_no_number_is_refused_by_attribute_and_value(
    tmp_path: Path, keyword: str, value: str | list[str]
) -> None:
    source = save_dicom(with_text(dicom_dataset(ramp()), keyword, value), tmp_path / "in.dcm")
    is_text = any(character.isalpha() for character in "".join(value)) and value != "nan"
    shown = "a text" if is_text else value
    with pytest.raises(UnreadableInputError) as caught:
        open_scan(source)
    assert f"{keyword} is {shown}, which is not a number" in str(caught.value)


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("RescaleIntercept", ["-1024", "0"], "1 number must be given, not 2"),
        ("RescaleSlope", ["1", "1"], "1 number must be given, not 2"),
        ("SliceThickness", ["2.5", "2.5"], "1 number must be given, not 2"),
        ("SpacingBetweenSlices", ["2", "2"], "1 number must be given, not 2"),
        ("PixelSpacing", "0.7", "2 numbers must be given, not 1"),
        ("PixelSpacing", ["0.7", "0.7", "2"], "2 numbers must be given, not 3"),
        ("ImagePositionPatient", ["0", "1"], "3 numbers must be given, not 2"),
        ("ImageOrientationPatient", ["1", "0", "0"], "6 numbers must be given, not 3"),
    ],
)
def test_another_count_of_numbers_is_refused_by_attribute_and_value(
    tmp_path: Path, keyword: str, value: str | list[str], expected: str
) -> None:
    shown = "\\".join([value] if isinstance(value, str) else value)
    source = save_dicom(with_text(dicom_dataset(ramp()), keyword, value), tmp_path / "in.dcm")
    with pytest.raises(UnreadableInputError) as caught:
        open_scan(source)
    assert f"{keyword} is {shown}, but {expected}" in str(caught.value)


def test_another_count_of_numbers_in_one_slice_of_a_series_is_refused(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "series")
    dataset = pydicom.dcmread(folder / "slice2.dcm")
    save_dicom(with_text(dataset, "RescaleIntercept", ["-1024", "0"]), folder / "slice2.dcm")
    with pytest.raises(UnreadableInputError, match=r"slice2\.dcm: RescaleIntercept is .*, but 1"):
        open_dicom(folder)


def test_another_count_of_numbers_in_a_functional_group_is_refused(tmp_path: Path) -> None:
    dataset = enhanced_dataset(*ENHANCED[0][:2])
    frame = dataset.PerFrameFunctionalGroupsSequence[1]
    with_text(frame.PixelValueTransformationSequence[0], "RescaleIntercept", ["-1024", "0"])
    source = save_dicom(dataset, tmp_path / "in.dcm")
    with pytest.raises(UnreadableInputError, match=r"RescaleIntercept is .*, but 1 number"):
        open_dicom(source)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("RescaleIntercept", ""), ("RescaleIntercept", None), ("RescaleSlope", "")],
)
def test_one_half_of_a_rescale_is_refused(tmp_path: Path, keyword: str, value: str | None) -> None:
    source = save_dicom(dicom_dataset(ramp(), **{keyword: value}), tmp_path / "in.dcm")
    with pytest.raises(UnreadableInputError, match=f"{keyword} is absent or empty, but"):
        open_scan(source, assume_unit="HU")


def test_a_comma_in_one_slice_of_a_series_is_told_once(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "series")
    dataset = pydicom.dcmread(folder / "slice1.dcm")
    save_dicom(with_text(dataset, "SliceThickness", "2,5"), folder / "slice1.dcm")
    assert len([n for n in open_dicom(folder).info.notices if "SliceThickness" in n]) == 1


@pytest.mark.parametrize("task", ["ct-denoise", "pet-synthesis"])
@pytest.mark.parametrize("kind", ["MGML", "Z_EFF", "ED", "EDW", "PCT", "OD"])
def test_a_told_unit_is_refused_by_name_even_if_the_user_says_otherwise(
    tmp_path: Path, kind: str, task: str
) -> None:
    modality = {"ct-denoise": "CT", "pet-synthesis": "PT"}[task]
    changes = {"RescaleType": kind} if modality == "CT" else {"Units": kind, "Modality": "PT"}
    source = save_dicom(dicom_dataset(ramp(), **changes), tmp_path / "in.dcm")
    info = open_scan(source, assume_unit=get_task(task).units[0]).info
    with pytest.raises(UnsuitableInputError, match=f"values are in {kind}"):
        get_task(task).check(info)


@pytest.mark.parametrize(
    "kind",
    ["HU_MOD", "HU", "", None, "Hounsfield Units", "Houndsfield Unit", "HOUNSFIELD"],
)
def test_monoenergetic_images_are_in_hu(tmp_path: Path, kind: str | None) -> None:
    image_type = ["DERIVED", "PRIMARY", "AXIAL", "VMI"]
    dataset = dicom_dataset(ramp(), RescaleType=kind, ImageType=image_type)
    assert open_scan(save_dicom(dataset, tmp_path / "in.dcm")).info.unit == "HU"


@pytest.mark.parametrize(
    ("code", "slope", "unit"),
    [
        ("mg/ml", 1.0, "MG/ML"),
        ("mg/ml", 0.1, "MG/ML"),
        ("[hnsf'U]", 1.0, "HU"),
        ("[hnsf'U]", 0.1, None),
        ("1", 1.0, None),
    ],
)
def test_a_real_world_map_tells_the_unit_of_an_unspecified_rescale(
    tmp_path: Path, code: str, slope: float, unit: str | None
) -> None:
    measured = group(CodeValue=code, CodingSchemeDesignator="UCUM", CodeMeaning="unit")
    mapping = group(
        RealWorldValueSlope=slope,
        RealWorldValueIntercept=-1024.0,
        MeasurementUnitsCodeSequence=[measured],
    )
    dataset = dicom_dataset(ramp(), RescaleType="US", RealWorldValueMappingSequence=[mapping])
    assert open_scan(save_dicom(dataset, tmp_path / "in.dcm")).info.unit == unit


def test_slices_in_different_units_are_refused(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "series", count=2)
    path = folder / "slice1.dcm"
    with_other = pydicom.dcmread(path)
    with_other.RescaleType = "MGML"
    with_other.save_as(path)
    with pytest.raises(UnreadableInputError, match="different units: HU, MGML"):
        open_dicom(folder)


def test_a_modality_table_is_refused_by_name(tmp_path: Path) -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [2048, 0, 16])
    table.add_new("ModalityLUTType", "LO", "HU")
    table.add_new("LUTData", "US", list(range(2048)))
    dataset = dicom_dataset(
        ramp(), RescaleSlope=None, RescaleIntercept=None, ModalityLUTSequence=[table]
    )
    source = save_dicom(dataset, tmp_path / "in.dcm")
    with pytest.raises(UnreadableInputError, match="Modality LUT") as caught:
        open_scan(source, assume_unit="HU")
    assert "--unit" not in caught.value.hint


def codestream(
    values: np.ndarray,
    syntax: str,
    bits: int,
    path: Path,
    *,
    signed: bool = False,
    **header: object,
) -> Path:
    """Save HU of a CT as samples of some bits below another header.

    Args:
        values: `(H, W)`.
        syntax: transfer syntax.
        bits: of a sample.
        path: the file.
        signed: whether JPEG 2000 declares the samples as signed; else they are words.
        header: elements to set.
    """
    dataset = dicom_dataset(values, RescaleIntercept="0", **header)
    words = (values & ((1 << bits) - 1)).astype(np.uint16)
    if syntax == JPEG2000Lossless:
        samples = values.astype(np.int16) if signed else words
        data = imagecodecs.jpeg2k_encode(
            samples, level=0, codecformat="J2K", bitspersample=bits, reversible=True
        )
    elif syntax == JPEGLSLossless:
        data = imagecodecs.jpegls_encode(words)
    else:
        data = imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=bits)
    dataset.PixelData = encapsulate([bytes(data)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return save_dicom(dataset, path, syntax)


@pytest.mark.parametrize("bits", [12, 13, 15])
def test_a_narrow_unsigned_jpeg_2000_is_read_as_pydicom_reads_it(tmp_path: Path, bits: int) -> None:
    values = ramp(low=-1000, high=1500)
    source = codestream(values, JPEG2000Lossless, bits, tmp_path / "in.dcm")
    reader = open_dicom(source)
    assert np.array_equal(reader.read(0)[0], values)
    assert np.array_equal(pydicom.dcmread(source).pixel_array, values)
    (notice,) = reader.info.notices
    assert f"{bits} unsigned bits" in notice
    assert "16 signed bits" in notice
    out = restore(source, tmp_path / "out.dcm", lambda hu: hu + 1)
    assert np.array_equal(pydicom.dcmread(out).pixel_array, values + 1)
    assert not open_dicom(out).info.notices


@pytest.mark.parametrize("stored", [13, 16])
@pytest.mark.parametrize("bits", [12, 13, 16])
def test_negative_samples_below_an_unsigned_header_are_refused_and_others_are_read(
    tmp_path: Path, bits: int, stored: int
) -> None:
    header = {"PixelRepresentation": 0, "BitsStored": stored, "HighBit": stored - 1}

    def save(name: str, low: int) -> Path:
        values, path = ramp(low=low, high=1500), tmp_path / name
        return codestream(values, JPEG2000Lossless, bits, path, signed=True, **header)

    reader = open_dicom(save("negative.dcm", -1000))
    assert "if none is negative" in reader.info.notices[0]
    with pytest.raises(UnreadableInputError, match=f"{bits} signed bits, .* {stored} unsigned"):
        reader.read(0)
    assert np.array_equal(open_dicom(save("positive.dcm", 0)).read(0)[0], ramp(low=0, high=1500))


@pytest.mark.parametrize("signed", [False, True])
def test_the_header_decides_about_the_sign_where_a_codestream_has_none(
    tmp_path: Path, signed: bool
) -> None:
    header = {"PixelRepresentation": int(signed)}
    source = codestream(ramp(), JPEGLSLossless, 16, tmp_path / "in.dcm", **header)
    reader = open_dicom(source)
    wanted = ramp() if signed else ramp() & 0xFFFF
    assert np.array_equal(reader.read(0)[0], wanted)
    assert not reader.info.notices


def test_a_codestream_as_the_header_declares_gets_no_notice(tmp_path: Path) -> None:
    for syntax in (JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1):
        source = save_in(dicom_dataset(ramp()), tmp_path / f"{syntax}.dcm", syntax)
        assert open_dicom(source).info.notices == ()


def test_a_narrow_lossless_jpeg_is_refused_where_its_sign_is_not_known(tmp_path: Path) -> None:
    source = codestream(ramp(), JPEGLosslessSV1, 13, tmp_path / "in.dcm")
    with pytest.raises(UnreadableInputError, match="13 bits, but the header declares 16 signed"):
        open_dicom(source).read(0)
    positive = ramp(low=0, high=1500)
    plain = codestream(positive, JPEGLosslessSV1, 13, tmp_path / "plain.dcm")
    assert np.array_equal(open_dicom(plain).read(0)[0], positive)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLosslessSV1])
def test_samples_with_more_bits_than_the_header_declares_are_refused(
    tmp_path: Path, syntax: str
) -> None:
    header = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0}
    wide = codestream(ramp(low=0, high=5000), syntax, 13, tmp_path / "wide.dcm", **header)
    with pytest.raises(UnreadableInputError, match="bits, but the header declares 12"):
        open_dicom(wide).read(0)
    fits = codestream(ramp(low=0, high=4095), syntax, 13, tmp_path / "fits.dcm", **header)
    assert open_dicom(fits).read(0).max() == 4095


@pytest.mark.parametrize("count", ["", "0"])
@pytest.mark.parametrize("syntax", [*NATIVE, JPEG2000Lossless])
def test_an_empty_number_of_frames_counts_as_one(tmp_path: Path, count: str, syntax: str) -> None:
    dataset = dicom_dataset(ramp(), NumberOfFrames=count)
    source = save_in(dataset, tmp_path / "in.dcm", syntax)
    reader = open_dicom(source)
    assert reader.info.planes == 1
    assert "NumberOfFrames is empty or 0; the image is read as one frame" in reader.info.notices
    out = restore(source, tmp_path / "out.dcm", lambda hu: hu + 1)
    assert "NumberOfFrames" not in pydicom.dcmread(out)
    assert np.array_equal(open_dicom(out).read(0)[0], ramp() - 1023)


@pytest.mark.parametrize("count", ["", "0"])
def test_an_empty_number_of_frames_of_an_enhanced_image_counts_as_one(
    tmp_path: Path, count: str
) -> None:
    dataset = enhanced_dataset(*ENHANCED[0][:2], frames=1)
    dataset.NumberOfFrames = count
    source = save_dicom(dataset, tmp_path / "in.dcm")
    reader = open_dicom(source)
    assert reader.info.planes == 1
    assert "NumberOfFrames is empty or 0; the image is read as one frame" in reader.info.notices
    out = pydicom.dcmread(restore(source, tmp_path / "out.dcm"))
    assert out.NumberOfFrames == 1


@pytest.mark.parametrize("spacing", [["0", "0"], ["-0.7", "-0.7"], ["0.7", "0"]])
def test_a_spacing_that_is_no_distance_is_told(tmp_path: Path, spacing: list[str]) -> None:
    reader = open_dicom(save_series(tmp_path / "in", PixelSpacing=spacing))
    assert reader.info.spacing_mm[1:] == (None, None)
    told = [notice for notice in reader.info.notices if notice.startswith("PixelSpacing is ")]
    assert len(told) == 1


def test_an_empty_number_of_frames_above_several_frames_is_refused(tmp_path: Path) -> None:
    dataset = dicom_dataset(ramp(), NumberOfFrames="0")
    dataset.PixelData = dataset.PixelData * 2
    with pytest.raises(UnreadableInputError, match="no valid NumberOfFrames"):
        open_scan(save_dicom(dataset, tmp_path / "in.dcm"))
