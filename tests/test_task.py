"""Intensity maps and what the tasks refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ratcli.errors import UnsuitableInputError, UsageError
from ratcli.scan import ScanInfo
from ratcli.tasks import TASKS, get_task


def info(modality: str | None = "CT", unit: str | None = "HU", channels: int = 1) -> ScanInfo:
    return ScanInfo(1, channels, 8, 8, (None, None, None), modality, unit, 16, "memory")


@pytest.mark.parametrize("name", list(TASKS))
def test_the_intensity_map_and_its_inverse_match_inside_the_window(name: str) -> None:
    task = TASKS[name]
    values = np.linspace(*task.window, 1001, dtype=np.float32)
    back = task.denormalise(task.normalise(values))
    # Half a unit in the last place of the window's ends, twice.
    assert np.abs(back - values).max() <= 4e-7 * max(map(abs, task.window)) * 2


def test_soft_tissue_maps_to_half_a_unit_either_side() -> None:
    task = get_task("ct-denoise")
    assert np.allclose(task.normalise(np.float32([-160, 40, 240])), [-0.5, 0, 0.5])


def test_what_is_not_finite_or_beyond_the_window_is_outside() -> None:
    values = np.float32([-1024, 3072, -1025, 3073, np.nan, np.inf])
    outside = get_task("ct-denoise").outside(values)
    assert outside.tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize(
    "wrong", [info(modality="PT"), info(unit="SUV"), info(channels=3)], ids=str
)
def test_a_scan_of_another_kind_is_refused(wrong: ScanInfo) -> None:
    with pytest.raises(UnsuitableInputError):
        get_task("ct-denoise").check(wrong)


def test_a_scan_that_does_not_tell_its_kind_passes_the_header_check() -> None:
    get_task("ct-denoise").check(info(modality=None, unit=None))


@pytest.mark.parametrize(
    "values",
    [
        *([0.0, 1.0], [0.0, 255.0], [-160.0, -100.0], [np.nan, np.nan]),
        *([-2000.0, 0.0, 1064.0], [-3024.0, -3024.0, 24.0, 2000.0]),  # padding, and HU + 1024
    ],
    ids=str,
)
def test_a_range_that_cannot_be_hounsfield_units_is_refused(values: list[float]) -> None:
    with pytest.raises(UnsuitableInputError):
        get_task("ct-denoise").check_values(np.float32(values))


def test_a_range_of_hounsfield_units_is_accepted() -> None:
    get_task("ct-denoise").check_values(np.float32([-1000, 40, 900]))
    get_task("ct-denoise").check_values(np.float32([-2000, -2000, -1000, 40, 900]))
    get_task("ct-denoise").check_values(np.float32([-1100, -1050, -990, 40, 900]))


def test_a_mistyped_task_gets_a_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        get_task("ct-denois")
    assert caught.value.hint == "Did you mean ct-denoise?"


def pet(unit: str, **facts: object) -> ScanInfo:
    return replace(info("PT", unit), **facts)  # type: ignore[arg-type]


def test_activity_is_converted_by_the_factor_of_its_header() -> None:
    task = get_task("pet-synthesis")
    assert task.unit_factor(pet("Bq/ml", suv_factor=0.002)) == 0.002
    assert task.unit_factor(pet("SUV", suv_factor=0.002)) == 1.0


def test_activity_without_a_factor_is_refused_with_the_reason() -> None:
    task = get_task("pet-synthesis")
    with pytest.raises(UnsuitableInputError, match="in Bq/ml, but the header has no patient weig"):
        task.unit_factor(pet("Bq/ml", suv_problem="the header has no patient weight"))
    with pytest.raises(UnsuitableInputError, match="does not say how to convert to SUV"):
        task.unit_factor(pet("Bq/ml"))


@pytest.mark.parametrize("highest", [255.0, 4095.0, 65535.0])
def test_float_colours_are_judged_by_their_maximum(highest):
    image = np.linspace(0, highest, 300, dtype=np.float32)  # with black, whose value is 0 anywhere
    with pytest.raises(UnsuitableInputError, match=f"reach {highest:g}, but RGB reaches 1"):
        get_task("pathology-sr").check_values(image)


@pytest.mark.parametrize("highest", [0.2, 1.0, 1.1])
def test_float_colours_up_to_a_little_over_1_are_taken(highest):
    get_task("pathology-sr").check_values(np.linspace(0, highest, 300, dtype=np.float32))
