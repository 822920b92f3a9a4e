from __future__ import annotations

import numpy as np
import pytest
import torch

from ratcli.physics import Degradation
from ratcli.physics.ct import low_dose_noise
from ratcli.physics.ct_dose import CtDose
from ratcli.physics.scans import DEGRADERS, KERNELS, scan_noise_hu
from ratcli.scan import FloatArray
from ratcli.tasks import TASKS

SIZE, SPACING = 128, 2.0


def scan(noise_hu: float | None = 12.0, seed: int = 0) -> FloatArray:
    """A water cylinder `(1, N, N)` as a scan of full dose shows it."""
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * SPACING
    hu = np.where(axis[None] ** 2 + axis[:, None] ** 2 < 100**2, 20.0, -1000.0)
    plane = torch.from_numpy(hu.astype(np.float32))
    if noise_hu is not None:
        generator = torch.Generator().manual_seed(seed)
        plane = plane + low_dose_noise(plane, SPACING, CtDose(noise_hu=noise_hu), generator)
    return plane[None].numpy()


def no_padding() -> np.ndarray:
    return np.zeros((SIZE, SIZE), np.bool_)


def test_every_task_has_a_degradation() -> None:
    assert set(DEGRADERS) == set(TASKS)


def test_the_noise_of_a_scan_is_found() -> None:
    # The cylinder is noisier in the middle; the mode lies within a fifth of the mean.
    assert scan_noise_hu(scan(12.0)) == pytest.approx(12, rel=0.2)


def test_no_noise_is_told_where_there_is_no_soft_tissue() -> None:
    assert scan_noise_hu(np.full((1, 64, 64), -1000, np.float32)) is None


def test_a_quarter_of_a_scans_dose_has_twice_its_noise() -> None:
    full = scan(12.0)
    degrade = DEGRADERS["ct-denoise"](Degradation(0.25), [full], SPACING)
    low = degrade(full, no_padding(), 0)
    ratio = (scan_noise_hu(low) or 0) / (scan_noise_hu(full) or 1)
    assert ratio == pytest.approx(2, rel=0.15)
    assert degrade.facts["scan_noise_hu"] == pytest.approx(12, rel=0.2)


def streaks(modulation: float) -> float:
    """Return lag-one correlation along rows over that along columns, in an oval body."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    oval = np.where((rows / 0.28) ** 2 + (columns / 0.45) ** 2 < SIZE**2, 40, -1000)
    body = oval.astype(np.float32)[None]
    how = Degradation(0.25, noise_hu=30.0, modulation=modulation)
    added = (DEGRADERS["ct-denoise"](how, [body], SPACING)(body, no_padding(), 0) - body)[0]
    inside = added[SIZE // 3 : -SIZE // 3, SIZE // 3 : -SIZE // 3]
    along = float((inside[:, 1:] * inside[:, :-1]).mean())
    down = float((inside[1:] * inside[:-1]).mean())
    return along - down


def test_a_modulated_tube_current_makes_less_streaky_noise() -> None:
    assert streaks(0.6) < 0.6 * streaks(0.0)
    assert Degradation().modulation == 0.6


def test_a_noise_that_is_told_is_not_measured() -> None:
    degrade = DEGRADERS["ct-denoise"](Degradation(0.25, noise_hu=30.0), [scan(None)], SPACING)
    added = degrade(scan(None), no_padding(), 0) - scan(None)
    tissue = scan(None) > -160
    # Three times the variance is missing at a quarter of the dose.
    assert float(added[tissue].std()) == pytest.approx(30 * 3**0.5, rel=0.05)


def test_the_full_dose_changes_nothing() -> None:
    degrade = DEGRADERS["ct-denoise"](Degradation(1.0), [scan()], SPACING)
    np.testing.assert_array_equal(degrade(scan(), no_padding(), 0), scan())


def test_padding_comes_back_bit_for_bit() -> None:
    full, padding = scan(), no_padding()
    padding[:10] = True
    full[0, :10] = -2000
    low = DEGRADERS["ct-denoise"](Degradation(), [full], SPACING)(full, padding, 0)
    np.testing.assert_array_equal(low[0, :10], full[0, :10])
    assert (low[0, 10:] != full[0, 10:]).any()


def test_each_plane_has_its_own_noise_whatever_the_order() -> None:
    full = scan()
    degrade = DEGRADERS["ct-denoise"](Degradation(seed=4), [full], SPACING)
    second, first = (degrade(full, no_padding(), plane) for plane in (1, 0))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, degrade(full, no_padding(), 0))
    other = DEGRADERS["ct-denoise"](Degradation(seed=5), [full], SPACING)
    assert not np.array_equal(first, other(full, no_padding(), 0))


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_reaches_the_same_noise(kernel: str) -> None:
    how = Degradation(0.25, noise_hu=20.0, kernel=kernel)
    degrade = DEGRADERS["ct-denoise"](how, [scan(None)], 1.0)
    added = degrade(scan(None), no_padding(), 0) - scan(None)
    assert float(added[scan(None) > -160].std()) == pytest.approx(20 * 3**0.5, rel=0.08)


def test_cold_planes_have_fewer_counts_and_empty_ones_stay() -> None:
    axis = np.arange(48) - 23.5
    warm = (axis[None] ** 2 + axis[:, None] ** 2 < 15**2).astype(np.float32)[None]
    nothing = np.zeros((48, 48), np.bool_)
    how = Degradation(0.1, counts=2e5)
    degrade = DEGRADERS["pet-synthesis"](how, [warm, 3 * warm], 4.0)
    inside = warm > 0
    spread = [
        float((degrade(level * warm, nothing, 0) - level * warm)[inside].std()) / level
        for level in (0.2, 3.0)
    ]
    assert spread[0] > 2 * spread[1]
    empty = np.zeros_like(warm)
    np.testing.assert_array_equal(degrade(empty, nothing, 0), empty)
    assert degrade.facts["counts"] == pytest.approx(2e4)


def test_slides_shrink_four_times() -> None:
    degrade = DEGRADERS["pathology-sr"](Degradation(), [], 1.0)
    values = np.random.default_rng(0).random((3, 32, 40), np.float32)
    assert degrade.shrinks == 4
    assert degrade(values, np.zeros((32, 40), np.bool_), 0).shape == (3, 8, 10)
