"""A padding value that is also measured: scattered pixels are measured, padding stays padding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ratcli.cli.app import main
from ratcli.formats import open_scan
from ratcli.formats.dicom.values import measured_by_chance
from tests.formats.dicom_scans import dicom_dataset, open_dicom, restore, save_dicom, stored, uid

NOTICE = "the padding value is also a measured value"
SIDE = 96


def noise(mean: float, deviation: float, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(mean, deviation, (SIDE, SIDE))
    return np.rint(values).astype(np.int32)


@pytest.mark.parametrize("deviation", [2, 5, 20, 60])
@pytest.mark.parametrize("mean", [0, 20])
def test_scattered_pixels_in_noise_are_measured(mean: int, deviation: int) -> None:
    values = noise(mean, deviation)
    found = measured_by_chance(values, (0, 0))
    usual = (values == 0) if mean <= 2 * deviation else np.zeros_like(values, bool)
    assert usual.sum() == 0 or found is not None
    if found is not None:
        assert not (found & (values != 0)).any()
        assert (usual & ~found).sum() <= 0.02 * usual.sum()


@pytest.mark.parametrize("level", [-1000, 300, 1500])
def test_a_pixel_unlike_all_around_it_is_padding(level: int) -> None:
    values = noise(level, 20)
    values[0], values[1] = -1500, 2000
    values[40, 40] = values[60, 20:22] = 0
    assert measured_by_chance(values, (0, 0)) is None


def test_pixels_that_lie_together_are_padding_even_if_they_are_usual() -> None:
    values = noise(20, 20)
    values[:, :20] = 0
    values[50:56, 50:56] = 0
    found = measured_by_chance(values, (0, 0))
    assert found is not None
    assert not found[:, :20].any()
    assert not found[50:56, 50:56].any()
    assert found[:, 22:].sum() > 0.9 * ((values == 0)[:, 22:].sum() - 36)


@pytest.mark.parametrize("padding", [(-1024, -1024), (3000, 3000), (-3000, -1024)])
def test_a_value_at_the_end_of_the_range_is_padding(padding: tuple[int, int]) -> None:
    air = np.clip(noise(-1010, 15), -1024, 3000)
    air[5, 5] = 3000
    assert measured_by_chance(air, padding) is None


@pytest.mark.parametrize("signed", [True, False])
def test_they_are_restored_and_no_result_becomes_padding(tmp_path: Path, signed: bool) -> None:
    shift = 0 if signed else 1000
    values = noise(20, 20) + shift
    values[:20] = shift
    sign = {} if signed else {"PixelRepresentation": 0}
    dataset = dicom_dataset(values, RescaleIntercept=str(-shift), PixelPaddingValue=shift, **sign)
    source = save_dicom(dataset, tmp_path / "in.dcm")
    reader = open_dicom(source)
    padding = reader.padding(0)
    assert padding[:20].all()
    assert not padding[21:].any()
    assert [NOTICE in notice for notice in reader.info.notices] == [True]
    out = stored(restore(source, tmp_path / "out.dcm", lambda hu: hu * 0 + np.float32(0.3)))[0]
    assert np.array_equal(out[:20], values[:20])
    assert not (out[21:] == shift).any()
    assert np.abs(out[21:] - shift).max() == 1


@pytest.mark.parametrize("is_series", [False, True])
def test_the_notice_is_told_once(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str], is_series: bool
) -> None:
    folder = tmp_path / "in"
    for number in range(2 if is_series else 1):
        values = noise(20, 20, number) + 1024
        values[:4] = 0
        dataset = dicom_dataset(
            values, SOPInstanceUID=uid("pad", number), InstanceNumber=number, PixelPaddingValue=1024
        )
        dataset.ImagePositionPatient = ["0", "0", str(2 * number)]
        save_dicom(dataset, folder / f"{number}.dcm")
    source, out = (folder if is_series else folder / "0.dcm"), tmp_path / "out"
    command = ["restore", str(source), "-t", "ct-denoise", "-o", str(out), "--threads", "1"]
    assert main([*command, "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.count(NOTICE) == 1
    assert NOTICE in "".join(json.loads(told.out)["notices"])
    with open_scan(out / "in" if is_series else out) as reader:
        assert not reader.padding(0).any()
