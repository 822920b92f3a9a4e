"""Standard deviations in DICOM: a scale of their own, and a header that says what they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from ratcli.errors import OutputError
from tests.formats.dicom_scans import (
    DERIVATION,
    dicom_dataset,
    open_dicom,
    pet_dataset,
    ramp,
    restore,
    save_dicom,
    save_series,
    shared,
    stored,
    uid,
    validator_errors,
)
from tests.formats.enhanced_scans import ENHANCED, ENHANCED_CT, enhanced_dataset

UNCERTAINTY = dataclasses.replace(
    DERIVATION,
    method="uncertainty",
    label="RAT denoised uncertainty",
    description="standard deviation of each pixel, from 8 views",
)
REAL = [
    ("formats", "dicom", "nema_wg04", "CT1_J2KR"),
    ("formats", "dicom", "nema_wg04", "CT1_JPLL"),
    ("formats", "dicom", "nema_wg04", "CT1_JLSL"),
    ("formats", "dicom", "nema_wg04", "CT1_RLE"),
    ("formats", "dicom", "enhanced", "eCT_Supplemental.dcm"),
    ("formats", "dicom", "enhanced", "emri_small.dcm"),
    ("ct", "singles", "ami_head_bigendian_ser002img00001-16-signed.dcm"),
    ("ct", "singles", "pancreas_0001_explicit_VR-UN.dcm"),
]


def deviations(values: np.ndarray) -> np.ndarray:
    """Return 0.5 to about 4 for Hounsfield units, none of them whole."""
    return (np.abs(values) / 500 + 0.51).astype(np.float32)


def write(source: Path, out: Path) -> Path:
    return restore(source, out, deviations, UNCERTAINTY)


def test_deviations_of_a_few_units_keep_their_digits(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    wanted = deviations(open_dicom(source).read(0))
    out = write(source, tmp_path / "out.dcm")
    header = pydicom.dcmread(out)
    assert float(header.RescaleSlope) == pytest.approx(wanted.max() / 32767, rel=1e-6)
    assert header.RescaleIntercept == 0
    found = open_dicom(out).read(0)
    assert np.abs(found - wanted).max() <= float(header.RescaleSlope) / 2 * (1 + 1e-3)


def test_a_12_bit_source_gets_16_bits(tmp_path: Path) -> None:
    source = save_dicom(
        dicom_dataset(ramp(low=0, high=4000), BitsStored=12, HighBit=11, PixelRepresentation=0),
        tmp_path / "in.dcm",
    )
    out = write(source, tmp_path / "out.dcm")
    assert stored(out).max() == 32767
    np.testing.assert_allclose(
        open_dicom(out).read(0), deviations(open_dicom(source).read(0)), atol=1e-3
    )


def test_the_header_says_what_the_pixels_are(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    header = pydicom.dcmread(write(source, tmp_path / "out.dcm"))
    assert list(header.ImageType) == ["DERIVED", "PRIMARY", "AXIAL", "STD_DEVIATION"]
    assert header.SeriesDescription == "THORAX; RAT denoised uncertainty"
    assert header.DerivationDescription == "standard deviation of each pixel, from 8 views"
    assert header.DerivationCodeSequence[0].CodeMeaning == "Standard Deviation"
    assert header.RescaleType == "HU"


def test_result_and_uncertainty_are_two_series_of_one_study(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    one = pydicom.dcmread(restore(source, tmp_path / "1.dcm"))
    two = pydicom.dcmread(write(source, tmp_path / "2.dcm"))
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID


def test_the_window_fits_the_deviations(tmp_path: Path) -> None:
    source = save_dicom(
        dicom_dataset(
            ramp(),
            WindowCenter=["40", "-600"],
            WindowWidth=["400", "1500"],
            WindowCenterWidthExplanation=["SOFT", "LUNG"],
        ),
        tmp_path / "in.dcm",
    )
    header = pydicom.dcmread(write(source, tmp_path / "out.dcm"))
    # The highest is abs(-2024) / 500 + 0.51 = 4.6.
    assert (header.WindowCenter, header.WindowWidth) == (2.5, 5)
    assert "WindowCenterWidthExplanation" not in header


def test_slices_of_a_series_get_the_same_window(tmp_path: Path) -> None:
    out = write(save_series(tmp_path / "in"), tmp_path / "out")
    headers = [pydicom.dcmread(path) for path in out.iterdir()]
    assert {(header.WindowCenter, header.WindowWidth) for header in headers} == {(2.5, 5)}


def test_padding_stays_padding_and_nothing_else_becomes_it(tmp_path: Path) -> None:
    values = ramp()
    values[:2] = -2000
    source = save_dicom(dicom_dataset(values, PixelPaddingValue=-2000), tmp_path / "in.dcm")
    reader = open_dicom(write(source, tmp_path / "out.dcm"))
    assert reader.padding(0)[:2].all()
    assert not reader.padding(0)[2:].any()


def test_no_deviation_at_all_is_written(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", np.zeros_like, UNCERTAINTY)
    assert not open_dicom(out).read(0).any()
    assert pydicom.dcmread(out).WindowWidth == 1


@pytest.mark.parametrize(("modality", "sop_class", "unit"), ENHANCED)
def test_frames_get_slopes_of_their_own(
    tmp_path: Path, modality: str, sop_class: str, unit: str | None
) -> None:
    source = save_dicom(enhanced_dataset(modality, sop_class), tmp_path / "in.dcm")
    before, after = open_dicom(source), open_dicom(write(source, tmp_path / "out.dcm"))
    for plane in range(3):
        wanted = deviations(before.read(plane))
        np.testing.assert_allclose(after.read(plane), wanted, atol=wanted.max() / 32767)
    assert after.info.unit == unit


def test_enhanced_frames_are_of_the_contrast_standard_deviation(tmp_path: Path) -> None:
    dataset = enhanced_dataset("CT", ENHANCED_CT)
    window = Dataset()
    window.WindowCenter, window.WindowWidth = "40", "400"
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.FrameVOILUTSequence = [window]
    source = save_dicom(dataset, tmp_path / "in.dcm")
    header = pydicom.dcmread(write(source, tmp_path / "out.dcm"))
    common = header.SharedFunctionalGroupsSequence[0]
    kind = common.CTImageFrameTypeSequence[0].FrameType
    assert list(header.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "STD_DEVIATION"]
    assert list(kind) == ["DERIVED", "PRIMARY", "VOLUME", "STD_DEVIATION"]
    assert common.FrameVOILUTSequence[0].WindowWidth == 5
    groups = header.PerFrameFunctionalGroupsSequence
    assert not any("FrameVOILUTSequence" in group for group in groups)


def test_a_real_world_map_of_deviations_has_no_offset(tmp_path: Path) -> None:
    mapping = Dataset()
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 0.6, 5.0
    source = save_dicom(pet_dataset(RealWorldValueMappingSequence=[mapping]), tmp_path / "in.dcm")
    wanted = deviations(open_dicom(source).read(0))[0] * 0.6 / 0.3
    out = write(source, tmp_path / "out.dcm")
    found = pydicom.dcmread(out).RealWorldValueMappingSequence[0]
    assert found.RealWorldValueIntercept == 0
    step = found.RealWorldValueSlope
    assert np.abs(stored(out)[0] * step - wanted).max() <= step


@pytest.mark.parametrize("parts", REAL, ids=lambda parts: parts[-1])
def test_a_real_image_gets_no_error_that_it_did_not_have(
    tmp_path: Path, parts: tuple[str, ...]
) -> None:
    source = shared(*parts)
    out = write(source, tmp_path / "out.dcm")
    assert validator_errors(out) <= validator_errors(source)


def test_a_valid_slice_stays_valid(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp(), Laterality=""), tmp_path / "in.dcm")
    assert validator_errors(write(source, tmp_path / "out.dcm")) == set()


def test_the_uncertainty_of_colours_is_refused(tmp_path: Path) -> None:
    colours = np.zeros((8, 8, 3), np.uint8)
    dataset = dicom_dataset(
        colours, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0,
        BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0, Modality="OT",
        SOPInstanceUID=uid("colour"),
    )  # fmt: skip
    source = save_dicom(dataset, tmp_path / "in.dcm")
    with pytest.raises(OutputError, match="no place for the uncertainty of colours"):
        write(source, tmp_path / "out.dcm")
    assert not (tmp_path / "out.dcm").exists()
