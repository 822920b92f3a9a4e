"""Overlays lie over the same pixels on a finer grid; those that cannot are left out and told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.formats.dicom_scans import (
    DERIVATION,
    open_dicom,
    restore,
    rgb_dataset,
    save_in,
)

FINER = dataclasses.replace(DERIVATION, task="pathology-sr", method="resample", scale=4)
ROWS, COLUMNS = 9, 11
LOST = "an overlay cannot be enlarged and is left out if the output has a finer grid"


def bitmap(frames: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (frames, ROWS, COLUMNS))


def with_overlay(
    syntax: UID, vr: str = "OW", group: int = 0x6000, frames: int | None = None
) -> Dataset:
    dataset = rgb_dataset(np.full((16, 20, 3), 200), 8, 0)
    data = np.packbits(bitmap(frames or 1).ravel(), bitorder="little")
    data = np.pad(data, (0, len(data) % 2))
    if vr == "OW" and not syntax.is_little_endian:
        data = data.reshape(-1, 2)[:, ::-1]
    dataset.add_new((group, 0x0010), "US", ROWS)
    dataset.add_new((group, 0x0011), "US", COLUMNS)
    if frames is not None:
        dataset.add_new((group, 0x0015), "IS", str(frames))
    dataset.add_new((group, 0x0040), "CS", "G")
    dataset.add_new((group, 0x0050), "SS", [3, 5])
    dataset.add_new((group, 0x0100), "US", 1)
    dataset.add_new((group, 0x0102), "US", 0)
    dataset.add_new((group, 0x3000), vr, data.tobytes())
    return dataset


def enlarged(path: Path, out: Path) -> Dataset:
    grow = np.ones((4, 4))
    restore(path, out, lambda values: np.kron(values, grow), FINER)
    return pydicom.dcmread(out)


@pytest.mark.parametrize(
    ("syntax", "vr"),
    [
        (ExplicitVRLittleEndian, "OW"),
        (ExplicitVRLittleEndian, "OB"),
        (ImplicitVRLittleEndian, "OW"),
        (ExplicitVRBigEndian, "OW"),
        (ExplicitVRBigEndian, "OB"),
    ],
)
@pytest.mark.parametrize("group", [0x6000, 0x601E])
@pytest.mark.parametrize("frames", [None, 3])
def test_an_overlay_is_enlarged_with_the_image(
    tmp_path: Path, syntax: UID, vr: str, group: int, frames: int | None
) -> None:
    path = save_in(with_overlay(syntax, vr, group, frames), tmp_path / "in.dcm", syntax)
    assert LOST not in open_dicom(path).info.notices
    out = enlarged(path, tmp_path / "out.dcm")
    assert [out[group, element].value for element in (0x10, 0x11)] == [4 * ROWS, 4 * COLUMNS]
    assert list(out[group, 0x50].value) == [9, 17]  # pixel 3 begins at pixel 9, counted from 1
    data = np.frombuffer(out[group, 0x3000].value, np.uint8)
    if out[group, 0x3000].VR == "OW" and not syntax.is_little_endian:
        data = data.reshape(-1, 2)[:, ::-1].ravel()
    bits = np.unpackbits(data, bitorder="little")[: (frames or 1) * 16 * ROWS * COLUMNS]
    expected = bitmap(frames or 1).repeat(4, 1).repeat(4, 2)
    np.testing.assert_array_equal(bits.reshape(expected.shape), expected)


def test_pydicom_shows_the_enlarged_overlay(tmp_path: Path) -> None:
    syntax = ExplicitVRLittleEndian
    path = save_in(with_overlay(syntax), tmp_path / "in.dcm", syntax)
    shown = enlarged(path, tmp_path / "out.dcm").overlay_array(0x6000)
    np.testing.assert_array_equal(shown, np.kron(bitmap()[0], np.ones((4, 4))))


@pytest.mark.parametrize("lacking", [0x0010, 0x0011, 0x3000])
def test_an_overlay_that_cannot_be_enlarged_is_left_out_and_told(
    tmp_path: Path, lacking: int
) -> None:
    dataset = with_overlay(ExplicitVRLittleEndian)
    del dataset[0x6000, lacking]
    path = save_in(dataset, tmp_path / "in.dcm", ExplicitVRLittleEndian)
    assert LOST in open_dicom(path).info.notices
    out = enlarged(path, tmp_path / "out.dcm")
    assert not [tag for tag in out.keys() if tag.group == 0x6000]  # noqa: SIM118


def test_an_overlay_with_too_few_bits_is_left_out(tmp_path: Path) -> None:
    dataset = with_overlay(ExplicitVRLittleEndian)
    dataset[0x6000, 0x3000].value = b"\xff\xff"
    path = save_in(dataset, tmp_path / "in.dcm", ExplicitVRLittleEndian)
    assert LOST in open_dicom(path).info.notices
    assert (0x6000, 0x3000) not in enlarged(path, tmp_path / "out.dcm")
