import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from ratcli.formats import find_scans, open_scan
from ratcli.formats.dicom.suv import find_suv_factor
from tests.formats.dicom_scans import (
    dicom_dataset,
    open_dicom,
    pet_dataset,
    ramp,
    restore,
    save_dicom,
    shared,
    stored,
    validator_errors,
)

SUV_TAGS = [
    "Units",
    "DecayCorrection",
    "DecayFactor",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "CorrectedImage",
    "PatientWeight",
    "RadiopharmaceuticalInformationSequence",
    "FrameReferenceTime",
]


def test_identity_keeps_slope_and_stored_values(tmp_path: Path) -> None:
    source = save_dicom(pet_dataset(), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm")
    assert np.array_equal(stored(out), stored(source))
    assert pydicom.dcmread(out).RescaleSlope == pydicom.dcmread(source).RescaleSlope


@pytest.mark.parametrize("gain", [0.013, 0.7, 1.7, 1000.0])
def test_a_slope_of_its_own_keeps_each_value_within_half_a_step(
    tmp_path: Path, gain: float
) -> None:
    source = save_dicom(pet_dataset(), tmp_path / "in.dcm")
    wanted = open_dicom(source).read(0) * np.float32(gain)
    out = restore(source, tmp_path / "out.dcm", lambda values: values * np.float32(gain))
    slope = float(pydicom.dcmread(out).RescaleSlope)
    assert slope == pytest.approx(wanted.max() / 32767, rel=1e-6)
    assert np.abs(open_dicom(out).read(0) - wanted).max() <= slope / 2 * (1 + 1e-5)
    assert stored(out).max() == 32767


def test_tags_that_define_suv_do_not_change(tmp_path: Path) -> None:
    source = save_dicom(pet_dataset(), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda values: values * 2)
    before, after = pydicom.dcmread(source), pydicom.dcmread(out)
    assert {tag: after.get(tag) for tag in SUV_TAGS} == {tag: before.get(tag) for tag in SUV_TAGS}
    assert after.RescaleIntercept == 0
    assert after.BitsStored == 16


def test_negative_activity_is_kept(tmp_path: Path) -> None:
    source = save_dicom(pet_dataset(ramp(low=-3000, high=30000)), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda values: values * np.float32(1.1))
    assert open_dicom(out).read(0).min() == pytest.approx(-990, abs=0.302 / 2)


def test_an_empty_slice_is_written(tmp_path: Path) -> None:
    source = save_dicom(pet_dataset(), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda values: values * 0)
    assert not open_dicom(out).read(0).any()


def test_padding_keeps_its_stored_value_under_a_new_slope(tmp_path: Path) -> None:
    values = ramp(low=0, high=32767)
    values[:3] = -1
    source = save_dicom(pet_dataset(values, PixelPaddingValue=-1), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda values: values * 3)
    assert (stored(out)[0, :3] == -1).all()
    assert (stored(out)[0, 3:] != -1).all()


def test_a_real_world_map_follows_the_slope(tmp_path: Path) -> None:
    mapping = Dataset()
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 0.6, 5.0
    dataset = pet_dataset(RealWorldValueMappingSequence=[mapping])
    source = save_dicom(dataset, tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda values: values * 2)
    derived = pydicom.dcmread(out)
    found = derived.RealWorldValueMappingSequence[0]
    # Twice the activity: twice the slope's part, the same intercept.
    real = stored(out) * found.RealWorldValueSlope + found.RealWorldValueIntercept
    step = found.RealWorldValueSlope
    assert np.abs(real - (2 * stored(source) * 0.6 + 5)).max() <= step / 2 * (1 + 1e-5)


def test_the_factor_is_weight_over_the_dose_left_at_the_scan() -> None:
    expected = 70_000 / (4e8 * 0.5 ** (3600 / 6586.2))
    assert find_suv_factor(pet_dataset()) == (pytest.approx(expected), "")


def test_a_dose_corrected_to_its_injection_does_not_decay() -> None:
    assert find_suv_factor(pet_dataset(DecayCorrection="ADMIN")) == (
        pytest.approx(70_000 / 4e8),
        "",
    )


def test_an_injection_before_midnight_is_understood() -> None:
    dataset = pet_dataset(SeriesTime="003000", AcquisitionTime="003000")
    dataset.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "233000"
    expected = 70_000 / (4e8 * 0.5 ** (3600 / 6586.2))
    assert find_suv_factor(dataset) == (pytest.approx(expected), "")


def test_a_series_made_anew_falls_back_to_the_acquisition() -> None:
    # Reconstructed at 15:00, acquired at 12:10 as a frame that began 10 minutes into the scan.
    dataset = pet_dataset(
        SeriesTime="150000",
        AcquisitionTime="121000",
        FrameReferenceTime="660000",
        ActualFrameDuration="120000",
    )
    expected = 70_000 / (4e8 * 0.5 ** (3600 / 6586.2))
    # The mean decay time of a 2-minute frame is not quite its middle: within a second of decay.
    assert find_suv_factor(dataset) == (pytest.approx(expected, rel=2e-4), "")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"PatientWeight": "0"}, "the header has no patient weight"),
        ({"DecayCorrection": "NONE"}, "the header says that decay was not corrected"),
        ({"CorrectedImage": ["ATTN"]}, "the header says that decay was not corrected"),
        ({"CorrectedImage": ["DECY"]}, "the header says that attenuation was not corrected"),
        ({"DecayCorrection": ""}, "does not say to which time decay was corrected"),
        ({"Units": "PROPCPS"}, "does not say that the values are in Bq/ml"),
        ({"RadiopharmaceuticalInformationSequence": []}, "the header has no injected dose"),
        ({"SeriesTime": "", "AcquisitionTime": ""}, "the header has no start time of the scan"),
    ],
)
def test_without_the_facts_there_is_no_factor_and_a_reason(
    tmp_path: Path, changes: dict[str, object], problem: str
) -> None:
    info = open_dicom(save_dicom(pet_dataset(**changes), tmp_path / "in.dcm")).info
    assert info.suv_factor is None
    assert problem in info.suv_problem


@pytest.mark.parametrize("lacking", ["RadionuclideHalfLife", "RadiopharmaceuticalStartTime"])
def test_half_life_and_injection_are_needed(lacking: str) -> None:
    dataset = pet_dataset()
    delattr(dataset.RadiopharmaceuticalInformationSequence[0], lacking)
    words = {"RadionuclideHalfLife": "no half-life", "RadiopharmaceuticalStartTime": "no time of"}
    factor, problem = find_suv_factor(dataset)
    assert factor is None
    assert words[lacking] in problem


def test_what_is_no_pet_has_neither_factor_nor_reason(tmp_path: Path) -> None:
    info = open_dicom(save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")).info
    assert (info.suv_factor, info.suv_problem) == (None, "")


def test_values_that_are_suv_already_have_factor_one() -> None:
    assert find_suv_factor(pet_dataset(Units="GML")) == (1.0, "")


def test_philips_counts_have_a_private_factor() -> None:
    dataset = pet_dataset(Units="CNTS")
    assert find_suv_factor(dataset)[0] is None
    dataset.add_new(0x70530010, "LO", "Philips PET Private Group")
    dataset.add_new(0x70531000, "DS", "0.0005")
    assert find_suv_factor(dataset) == (0.0005, "")


def test_suv_of_a_real_series_is_physiological() -> None:
    reader = open_dicom(shared("pet", "singles", "acrin_flt_breast_1.dcm"))
    assert reader.info.suv_factor is not None
    assert 1 < float(reader.read(0).max()) * reader.info.suv_factor < 30


def test_activity_of_a_whole_body_series_is_within_half_a_step(tmp_path: Path) -> None:
    (source,) = find_scans(shared("pet", "sts_001_wholebody_dicom"))
    assert len(source.paths) == 267
    some = dataclasses.replace(source, paths=source.paths[::12])
    out = restore(some, tmp_path / "out", lambda values: values * np.float32(0.9))
    before, after = open_scan(some), open_dicom(out)
    assert before.info.planes == after.info.planes == 23
    assert before.info.suv_factor == after.info.suv_factor
    for plane in range(23):
        slope = after.planes[plane].values.slope
        error = np.abs(after.read(plane) - before.read(plane) * np.float32(0.9)).max()
        # Half a step, and the rounding of the float32 that both were read as.
        assert error <= slope / 2 + np.spacing(after.read(plane).max())


def test_a_real_slice_gets_no_error_that_it_did_not_have(tmp_path: Path) -> None:
    source = shared("pet", "singles", "acrin_flt_breast_1.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda values: values * np.float32(0.9))
    assert validator_errors(out) <= validator_errors(source)


def test_slices_already_in_suv_stay_in_suv(tmp_path: Path) -> None:
    source = shared("formats", "dicom", "pet_suv_gml")
    out = restore(source, tmp_path / "out", lambda values: values * np.float32(0.9))
    reader = open_dicom(out)
    assert reader.info.unit == "SUV"
    assert reader.info.suv_factor == 1.0


def test_times_are_not_taken_for_dates() -> None:
    moment = dt.datetime(2020, 1, 1, 11)
    dataset = pet_dataset()
    injected = dataset.RadiopharmaceuticalInformationSequence[0]
    injected.RadiopharmaceuticalStartDateTime = moment.strftime("%Y%m%d%H%M%S.000")
    injected.RadiopharmaceuticalStartTime = "030000"
    expected = 70_000 / (4e8 * 0.5 ** (3600 / 6586.2))
    assert find_suv_factor(dataset) == (pytest.approx(expected), "")
