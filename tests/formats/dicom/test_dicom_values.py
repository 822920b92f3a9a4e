from pathlib import Path

import numpy as np
import pytest

from ratcli.errors import UnreadableInputError
from ratcli.formats import open_scan
from ratcli.formats.dicom.values import ValueMap
from tests.formats.dicom_scans import dicom_dataset, open_dicom, ramp, restore, save_dicom, stored


def test_values_are_hounsfield_units(tmp_path: Path) -> None:
    values = ramp()
    reader = open_dicom(save_dicom(dicom_dataset(values), tmp_path / "in.dcm"))
    assert reader.info.unit == "HU"
    assert np.array_equal(reader.read(0)[0], values - 1024)


def test_quantising_rounds_to_the_nearest_step(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda hu: hu + np.float32(0.7))
    assert np.array_equal(stored(out)[0], ramp() + 1)


def test_values_beyond_the_stored_bits_are_clipped_not_wrapped(tmp_path: Path) -> None:
    dataset = dicom_dataset(
        ramp(low=0, high=4095), BitsStored=12, HighBit=11, PixelRepresentation=0
    )
    source = save_dicom(dataset, tmp_path / "in.dcm")
    high = restore(source, tmp_path / "high.dcm", lambda hu: hu + 9000)
    low = restore(source, tmp_path / "low.dcm", lambda hu: hu - 9000)
    assert np.array_equal(np.unique(stored(high)), [4095])
    assert np.array_equal(np.unique(stored(low)), [0])


def test_padding_comes_back_bit_for_bit(tmp_path: Path) -> None:
    values = ramp()
    values[:4] = -2000
    dataset = dicom_dataset(values, PixelPaddingValue=-2000)
    source = save_dicom(dataset, tmp_path / "in.dcm")
    assert np.array_equal(open_dicom(source).padding(0), values == -2000)
    out = restore(source, tmp_path / "out.dcm", lambda hu: hu + 100)
    assert np.array_equal(stored(out)[0, :4], values[:4])
    assert np.array_equal(stored(out)[0, 4:], values[4:] + 100)


def test_a_padding_range_is_padding_from_end_to_end(tmp_path: Path) -> None:
    values = ramp(low=-2000, high=1500)
    dataset = dicom_dataset(values, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1500)
    source = save_dicom(dataset, tmp_path / "in.dcm")
    padding = (values >= -2000) & (values <= -1500)
    assert np.array_equal(open_dicom(source).padding(0), padding)
    out = restore(source, tmp_path / "out.dcm", lambda hu: hu * 0 - 600)
    assert np.array_equal(stored(out)[0][padding], values[padding])
    assert np.array_equal(np.unique(stored(out)[0][~padding]), [424])


def test_padding_written_with_the_wrong_sign_is_understood(tmp_path: Path) -> None:
    values = ramp()
    values[0] = -2000
    dataset = dicom_dataset(values)
    dataset.add_new(0x00280120, "US", 63536)
    source = save_dicom(dataset, tmp_path / "in.dcm")
    assert np.array_equal(open_dicom(source).padding(0), values == -2000)


@pytest.mark.parametrize(
    ("padding", "limits", "expected"),
    [
        ((0, 0), (0, 4095), [1, 1, 1, 2]),
        ((-2000, -1500), (-32768, 32767), [-1, 0, 1, 2]),
        ((0, 1), (-32768, 32767), [-1, -1, 2, 2]),
        ((32760, 32767), (-32768, 32767), [-1, 0, 1, 2]),
    ],
)
def test_a_measured_value_never_becomes_padding(
    padding: tuple[int, int], limits: tuple[int, int], expected: list[int]
) -> None:
    value_map = ValueMap(padding=padding)
    found = value_map.quantise(np.array([-1, 0, 1, 2], np.float32), limits)
    assert found.tolist() == expected


def test_values_that_are_not_finite_are_a_caller_s_mistake() -> None:
    with pytest.raises(ValueError, match="finite"):
        ValueMap().quantise(np.array([np.nan], np.float32), (0, 10))


def test_a_slope_of_zero_is_refused(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp(), RescaleSlope="0"), tmp_path / "in.dcm")
    with pytest.raises(UnreadableInputError, match="RescaleSlope is 0"):
        open_scan(source)


@pytest.mark.parametrize(
    ("changes", "unit"),
    [
        ({}, "HU"),
        ({"RescaleType": None}, "HU"),
        ({"RescaleType": "US"}, None),
        ({"RescaleSlope": None, "RescaleIntercept": None}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, None),
        ({"Modality": "MR"}, None),
        ({"Modality": "PT", "Units": "BQML"}, "Bq/ml"),
        ({"Modality": "PT", "Units": "GML"}, "SUV"),
        ({"Modality": "PT", "Units": "GML", "SUVType": "LBM"}, "SUV by LBM"),
        ({"Modality": "PT", "Units": "CNTS"}, "CNTS"),
        ({"RescaleType": "HU_MOD"}, "HU"),
        ({"RescaleType": "MGML"}, "MGML"),
        ({"RescaleType": "PCT", "ImageType": ["DERIVED", "PRIMARY", "LOCALIZER"]}, "PCT"),
    ],
)
def test_the_unit_is_what_the_header_tells(
    tmp_path: Path, changes: dict[str, object], unit: str | None
) -> None:
    source = save_dicom(dicom_dataset(ramp(), **changes), tmp_path / "in.dcm")
    assert open_scan(source).info.unit == unit


def test_an_assumed_unit_fills_in_only_where_none_is_told(tmp_path: Path) -> None:
    told = save_dicom(dicom_dataset(ramp()), tmp_path / "told.dcm")
    silent = save_dicom(dicom_dataset(ramp(), RescaleType="US"), tmp_path / "silent.dcm")
    assert open_scan(told, assume_unit="SUV").info.unit == "HU"
    assert open_scan(silent, assume_unit="HU").info.unit == "HU"


def test_monochrome1_keeps_its_values_and_its_interpretation(tmp_path: Path) -> None:
    dataset = dicom_dataset(ramp(), PhotometricInterpretation="MONOCHROME1")
    out = restore(save_dicom(dataset, tmp_path / "in.dcm"), tmp_path / "out.dcm")
    assert np.array_equal(stored(out)[0], ramp())
    assert open_dicom(out).layout(0).photometric == "MONOCHROME1"


def test_a_box_is_the_same_part_of_the_plane(tmp_path: Path) -> None:
    from ratcli.scan import Box

    reader = open_dicom(save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm"))
    assert np.array_equal(reader.read(0, Box(3, 5, 4, 6)), reader.read(0)[:, 3:7, 5:11])
