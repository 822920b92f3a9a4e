"""The local mean that a restored plane keeps of its input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from memory_scan import MemoryScan, run

from ratcli.pipeline.kept_mean import keep_mean
from ratcli.pipeline.model import Model
from ratcli.scan import FloatArray

EVERYWHERE = np.ones((64, 64), bool)


def warm_plane() -> FloatArray:
    rng = np.random.default_rng(4)
    return rng.gamma(4.0, 0.25, (1, 64, 64)).astype(np.float32)


def test_a_plane_that_did_not_change_is_the_same_bit_for_bit() -> None:
    plane = warm_plane()
    assert np.array_equal(keep_mean(plane, plane, EVERYWHERE, 4.0), plane)


def test_what_a_network_took_from_the_mean_comes_back() -> None:
    plane = warm_plane()
    kept = keep_mean(plane, plane * np.float32(0.9), EVERYWHERE, 4.0)
    assert kept.mean() == pytest.approx(plane.mean(), rel=1e-4)


def test_a_shift_of_colour_on_a_finer_grid_comes_back() -> None:
    coarse = warm_plane()
    fine = coarse.repeat(4, 1).repeat(4, 2) + np.float32(0.05)
    kept = keep_mean(coarse, fine, EVERYWHERE, 4.0)
    assert kept.shape == (1, 256, 256)
    np.testing.assert_allclose(kept, fine - 0.05, atol=1e-5)


def test_fine_noise_that_was_removed_hardly_comes_back() -> None:
    plane = warm_plane()
    flat = np.full_like(plane, plane.mean())
    kept = keep_mean(plane, flat, EVERYWHERE, 4.0)
    # White noise through a Gaussian: variance falls to 1 / (4 pi sigma^2).
    assert kept.std() == pytest.approx(plane.std() / np.sqrt(4 * np.pi * 16), rel=0.4)


def test_pixels_that_may_not_change_tell_nothing() -> None:
    plane, free = warm_plane(), EVERYWHERE.copy()
    free[:, :20] = False
    strange = plane.copy()
    strange[..., :20] = 500.0
    flat = np.full_like(plane, 1.0)
    assert np.array_equal(keep_mean(plane, flat, free, 4.0), keep_mean(strange, flat, free, 4.0))


@pytest.mark.parametrize("mean_kept_px", [0.0, 4.0])
def test_weights_whose_registry_entry_asks_for_it_keep_the_mean(
    load: Callable[..., Model], mean_kept_px: float
) -> None:
    plain = load(identity=False, kept=None)
    model = load(identity=False, kept=None, mean_kept_px=mean_kept_px)
    scan = MemoryScan(np.random.default_rng(3).normal(40, 100, (1, 1, 64, 64)).astype(np.float32))
    shifts = []
    for one in (plain, model):
        run(one, scan)
        shifts.append(abs(float(scan.written.mean() - scan.values.mean())))
    assert shifts[0] > 0.5
    assert (shifts[1] < 0.1) is bool(mean_kept_px)
    assert ("mean_kept_px=4.0" in model.provenance(scan.info).restored().settings) is bool(
        mean_kept_px
    )
