"""Negative values of PET whose samples are unsigned: kept within half a step, mean included."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.formats.dicom_scans import (
    DERIVATION,
    NATIVE,
    open_dicom,
    pet_dataset,
    ramp,
    restore,
    save_dicom,
    save_in,
    set_elements,
    stored,
)
from tests.formats.enhanced_scans import ENHANCED, enhanced_dataset

UNSIGNED = {"PixelRepresentation": 0, "RescaleSlope": "2", "RescaleIntercept": "-4000"}


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("gain", [0.9, 1.7])
def test_negative_values_of_unsigned_words_are_kept(
    tmp_path: Path, syntax: str, gain: float
) -> None:
    source = save_in(pet_dataset(ramp(low=0, high=9000), **UNSIGNED), tmp_path / "in.dcm", syntax)
    wanted = open_dicom(source).read(0) * np.float32(gain)
    out = restore(source, tmp_path / "out.dcm", lambda values: values * np.float32(gain))
    written = pydicom.dcmread(out)
    assert (written.PixelRepresentation, written.RescaleIntercept) == (1, 0)
    values = written.pixel_array * float(written.RescaleSlope)
    # Half a step; float32 holds the wanted values to 1e-7 of them.
    assert np.abs(values - wanted).max() <= float(written.RescaleSlope) / 2 + 2e-3
    assert values.mean() == pytest.approx(wanted.mean(), abs=float(written.RescaleSlope) / 2)


@pytest.mark.parametrize("intercept", ["-4000", "-4001"])
def test_unchanged_negative_values_come_back(tmp_path: Path, intercept: str) -> None:
    dataset = pet_dataset(ramp(low=0, high=9000), **{**UNSIGNED, "RescaleIntercept": intercept})
    source = save_dicom(dataset, tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm")
    step = float(pydicom.dcmread(out).RescaleSlope)
    # An intercept that is no multiple of the slope needs another slope.
    tolerance = 0 if intercept == "-4000" else step / 2 + 2e-3
    assert np.abs(open_dicom(out).read(0) - open_dicom(source).read(0)).max() <= tolerance


def test_padding_gets_a_value_that_no_measurement_has(tmp_path: Path) -> None:
    values = ramp(low=0, high=9000)
    values[:3] = 65535
    dataset = pet_dataset(values, **UNSIGNED)
    dataset.add_new("PixelPaddingValue", "US", 65535)
    source = save_dicom(dataset, tmp_path / "in.dcm")
    before = open_dicom(source)
    for name, gain in (("same.dcm", 1.0), ("out.dcm", 0.9)):
        out = restore(source, tmp_path / name, lambda values: values * np.float32(gain))  # noqa: B023
        after = open_dicom(out)
        assert np.array_equal(after.padding(0), before.padding(0))
        measured = ~before.padding(0)
        wanted = before.read(0)[0] * np.float32(gain)
        step = after.planes[0].values.slope
        assert np.abs(after.read(0)[0] - wanted)[measured].max() <= step / 2 + 2e-3


@pytest.mark.parametrize("changes", [{"method": "simulate"}, {"settings": ("residual",)}])
def test_differences_of_an_unsigned_image_keep_their_sign(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    dataset = pet_dataset(ramp(low=0, high=9000), PixelRepresentation=0)
    source = save_dicom(dataset, tmp_path / "in.dcm")
    derivation = dataclasses.replace(DERIVATION, **changes)
    out = restore(source, tmp_path / "out.dcm", lambda values: 500 - values, derivation)
    assert open_dicom(out).read(0).min() == pytest.approx(-2200, abs=0.05)


def test_an_unsigned_image_without_negative_values_stays_unsigned(tmp_path: Path) -> None:
    dataset = pet_dataset(ramp(low=0, high=60000), PixelRepresentation=0)
    source = save_dicom(dataset, tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm")
    assert pydicom.dcmread(out).PixelRepresentation == 0
    assert np.array_equal(stored(out), stored(source))


def test_frames_of_an_enhanced_image_keep_negative_values(tmp_path: Path) -> None:
    dataset = enhanced_dataset(*ENHANCED[1][:2])
    dataset.PixelRepresentation = 0
    planes = np.stack([ramp(low=0, high=9000) + frame for frame in range(3)])
    dataset.PixelData = planes.astype("<u2").tobytes()
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        set_elements(frame.PixelValueTransformationSequence[0], RescaleIntercept="-2000")
    source = save_dicom(dataset, tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda values: values * np.float32(0.9))
    before, after = open_dicom(source), open_dicom(out)
    for plane in range(3):
        step = after.planes[plane].values.slope
        wanted = before.read(plane) * np.float32(0.9)
        assert np.abs(after.read(plane) - wanted).max() <= step / 2 + 2e-3
