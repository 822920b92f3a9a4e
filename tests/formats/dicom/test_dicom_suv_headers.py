"""Headers from which SUV cannot be computed are refused with the cause; odd ones are understood."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from ratcli.errors import UnsuitableInputError
from ratcli.formats.dicom.suv import find_suv_factor
from ratcli.tasks import get_task
from tests.formats.dicom_scans import open_dicom, pet_dataset, save_dicom, set_elements, uid
from tests.formats.enhanced_scans import group

DOSE_BQ, WEIGHT_G, HALF_LIFE_S = 4e8, 70_000, 6586.2
ZR89_S = 282_276


def injected_at(moment: str, half_life: float = HALF_LIFE_S, **changes: object) -> Dataset:
    """Return a PET header whose injection has a full date and time."""
    dataset = pet_dataset(**changes)
    injected = dataset.RadiopharmaceuticalInformationSequence[0]
    injected.RadiopharmaceuticalStartDateTime = moment
    injected.RadionuclideHalfLife = str(half_life)
    return dataset


def wanted(seconds: float, half_life: float = HALF_LIFE_S) -> float:
    return WEIGHT_G / (DOSE_BQ * 0.5 ** (seconds / half_life))


@pytest.mark.parametrize("seconds", [20, 300])
def test_an_injection_shortly_after_the_start_of_a_dynamic_scan_is_accepted(seconds: int) -> None:
    moment = f"2020010112{seconds // 60:02d}{seconds % 60:02d}"
    assert find_suv_factor(injected_at(moment)) == (pytest.approx(wanted(-seconds)), "")
    without_date = pet_dataset()
    injected = without_date.RadiopharmaceuticalInformationSequence[0]
    injected.RadiopharmaceuticalStartTime = moment[8:]
    assert find_suv_factor(without_date) == (pytest.approx(wanted(-seconds)), "")


def test_zirconium_days_after_the_injection_is_accepted() -> None:
    factor, problem = find_suv_factor(injected_at("20191228120000", ZR89_S))
    assert (factor, problem) == (pytest.approx(wanted(4 * 86400, ZR89_S)), "")


@pytest.mark.parametrize(
    ("moment", "problem"),
    [
        ("20200101130000", "injection 60 minutes after the start of the scan"),
        ("20200301110000", "injection 60 days after the start of the scan"),
        ("20190101110000", "injection 365 days before the scan"),
        ("20191231110000", "injection 25 hours before the scan, which is 14 half-lives"),
    ],
)
def test_impossible_times_are_refused_with_their_difference(moment: str, problem: str) -> None:
    factor, why = find_suv_factor(injected_at(moment))
    assert factor is None
    assert problem in why


def test_an_injection_that_is_told_an_hour_late_without_a_date_is_refused() -> None:
    dataset = pet_dataset()
    dataset.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "130000"
    assert "23 hours before the scan" in find_suv_factor(dataset)[1]


@pytest.mark.parametrize(
    ("keyword", "value", "problem"),
    [
        ("RadionuclideTotalDose", "400", "injected dose of 400 Bq is impossible"),
        ("RadionuclideTotalDose", "400000", "injected dose of 400000 Bq is impossible"),
        ("RadionuclideHalfLife", "109.77", "looks like minutes"),
        ("RadionuclideHalfLife", "78.4", "looks like hours"),
        ("RadionuclideHalfLife", "3", "half-life of 3 s is impossible"),
        ("PatientWeight", "70000", "patient weight of 70000 kg is impossible"),
    ],
)
def test_numbers_in_other_units_are_refused_by_name(keyword: str, value: str, problem: str) -> None:
    dataset = pet_dataset()
    injected = dataset.RadiopharmaceuticalInformationSequence[0]
    set_elements(dataset if keyword == "PatientWeight" else injected, **{keyword: value})
    factor, why = find_suv_factor(dataset)
    assert factor is None
    assert problem in why


@pytest.mark.parametrize("seconds", [76.4, 122.24, 1223.4, 4057.7, 6586.2, 45723, 282276, 360806])
def test_half_lives_of_pet_nuclides_are_accepted(seconds: float) -> None:
    dataset = injected_at("20200101115900", seconds)
    assert find_suv_factor(dataset) == (pytest.approx(wanted(60, seconds)), "")


def test_a_late_series_time_with_reference_times_of_0_means_the_earliest_acquisition() -> None:
    beds = [
        pet_dataset(SeriesTime="150000", AcquisitionTime=time, FrameReferenceTime="0")
        for time in ("120800", "120000", "120400")
    ]
    assert find_suv_factor(beds[0], beds) == (pytest.approx(wanted(3600)), "")


@pytest.mark.parametrize(
    ("units", "unit"), [("PROPCNTS", "PROPCNTS"), ("CNTS", "CNTS"), ("CM2ML", "CM2ML")]
)
def test_a_pet_unit_that_cannot_be_converted_is_refused_by_name(
    tmp_path: Path, units: str, unit: str
) -> None:
    info = open_dicom(save_dicom(pet_dataset(Units=units), tmp_path / "in.dcm")).info
    with pytest.raises(UnsuitableInputError, match=f"values are in {unit}, but") as caught:
        get_task("pet-synthesis").check(info)
    assert "--suv-factor" in caught.value.hint


def put_philips(dataset: Dataset, element: int, value: str, block: int = 0x10) -> Dataset:
    """Add a factor of Philips, with the element that says which block of the group it is in."""
    dataset.add_new((0x7053, block), "LO", "Philips PET Private Group")
    dataset.add_new((0x7053, block << 8 | element), "DS", value)
    return dataset


@pytest.mark.parametrize("block", [0x10, 0x11, 0xFF])
@pytest.mark.parametrize(("element", "value"), [(0x00, "0.0005"), (0x09, "2.5")])
def test_counts_with_a_factor_of_philips_are_converted(
    tmp_path: Path, element: int, value: str, block: int
) -> None:
    dataset = pet_dataset(Units="CNTS")
    if block != 0x10:
        dataset.add_new(0x70530010, "LO", "Another maker")
        dataset.add_new(0x70531000, "DS", "7")
        dataset.add_new(0x70531009, "DS", "7")
    put_philips(dataset, element, value, block)
    info = open_dicom(save_dicom(dataset, tmp_path / "in.dcm")).info
    task = get_task("pet-synthesis")
    task.check(info)
    expected = 2.5 * wanted(3600) if element else 0.0005
    assert task.unit_factor(info) == pytest.approx(expected)


def test_a_factor_in_the_block_of_another_maker_is_not_that_of_philips() -> None:
    dataset = pet_dataset(Units="CNTS")
    dataset.add_new(0x70530010, "LO", "Another maker")
    dataset.add_new(0x70531000, "DS", "0.0005")
    found, why = find_suv_factor(dataset)
    assert found is None
    assert why == "the values are counts without a factor from counts to SUV"


@pytest.mark.parametrize("element", [0x00, 0x09])
@pytest.mark.parametrize("other", ["0.0006", None])
def test_a_factor_of_philips_that_differs_between_slices_is_refused(
    element: int, other: str | None
) -> None:
    series = [put_philips(pet_dataset(Units="CNTS"), element, "0.0005") for _ in range(2)]
    series.append(pet_dataset(Units="CNTS"))
    if other is not None:
        put_philips(series[-1], element, other)
    found, why = find_suv_factor(series[0], series)
    assert found is None
    assert why == "the factor from counts to SUV differs between the slices"


def test_a_factor_of_philips_may_be_in_another_block_of_each_slice() -> None:
    blocks = (0x10, 0x11, 0x20)
    series = [put_philips(pet_dataset(Units="CNTS"), 0x00, "0.0005", block) for block in blocks]
    assert find_suv_factor(series[0], series) == (0.0005, "")


def test_a_legacy_converted_image_keeps_the_factor_of_philips_in_a_functional_group(
    tmp_path: Path,
) -> None:
    dataset = pet_dataset(SOPInstanceUID=uid("legacy counts"))
    del dataset.Units
    moved = put_philips(Dataset(), 0x00, "0.0005", 0x11)
    moved.Units = "CNTS"
    shared = group(UnassignedSharedConvertedAttributesSequence=[moved])
    dataset.SharedFunctionalGroupsSequence = [shared]
    info = open_dicom(save_dicom(dataset, tmp_path / "in.dcm")).info
    assert (info.unit, info.suv_factor) == ("CNTS", 0.0005)


@pytest.mark.parametrize("block", [0x10, 0x12])
def test_the_scan_time_of_ge_is_found_in_any_block(block: int) -> None:
    dataset = pet_dataset(SeriesTime="235900")  # after the acquisition: post-processed
    dataset.add_new((0x0009, block), "LO", "GEMS_PETD_01")
    dataset.add_new((0x0009, block << 8 | 0x0D), "DT", "20200101113000.00")
    assert find_suv_factor(dataset) == (pytest.approx(wanted(1800)), "")


def test_a_legacy_converted_image_tells_its_units_in_a_functional_group(tmp_path: Path) -> None:
    dataset = pet_dataset(SOPInstanceUID=uid("legacy"))
    moved = Dataset()
    for keyword in ("Units", "DecayCorrection", "CorrectedImage"):
        moved[keyword] = dataset[keyword]
        delattr(dataset, keyword)
    shared = group(UnassignedSharedConvertedAttributesSequence=[moved])
    dataset.SharedFunctionalGroupsSequence = [shared]
    info = open_dicom(save_dicom(dataset, tmp_path / "in.dcm")).info
    assert info.unit == "Bq/ml"
    assert info.suv_factor == pytest.approx(wanted(3600))
