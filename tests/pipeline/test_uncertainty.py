"""The uncertainty of a restored scan, and its calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from memory_scan import MemoryScan, run

from ratcli.pipeline import cutting
from ratcli.pipeline.model import Model
from ratcli.pipeline.uncertainty import deviation_of
from ratcli.scan import FloatArray

Load = Callable[..., Model]


def slices(planes: int = 1, height: int = 48, width: int = 40) -> FloatArray:
    rng = np.random.default_rng(3)
    return np.rint(rng.normal(40, 100, (planes, 1, height, width))).astype(np.float32)


@pytest.mark.parametrize("scale", [1, 4])
def test_a_deviation_is_that_of_the_neighbourhood(scale: int) -> None:
    variance = np.full((1, 90, 70), 4.0, np.float32)
    np.testing.assert_allclose(deviation_of(variance, scale), 2.0, rtol=1e-6)
    variance[0, 45, 35] = 4 + 1e4
    found = deviation_of(variance, scale)[0]
    # A Gaussian of 2 input pixels: its peak times the variance that is too much.
    peak = 1e4 / (2 * np.pi * (2 * scale) ** 2)
    assert found[45, 35] == pytest.approx((4 + peak) ** 0.5, rel=0.02)
    assert found[0, 0] == pytest.approx(2.0)


def test_nothing_that_stays_as_it_was_is_uncertain(load: Load) -> None:
    values, padding = slices(), np.zeros((1, 48, 40), bool)
    values[0, 0, 0, :3] = (-2000.0, 3072.5, np.nan)
    padding[0, :, 30:] = True
    scan, spread = MemoryScan(values, padding=padding), MemoryScan(values)
    run(load(identity=False, views=8), scan, uncertainty=spread)
    assert not spread.written[0, 0, 0, :3].any()
    assert not spread.written[0, 0, :, 30:].any()
    assert (spread.written[0, 0, 1:, :30] > 0).all()


def test_a_milder_blend_is_less_uncertain(load: Load) -> None:
    spreads = []
    for strength in (1.0, 0.5):
        scan, spread = MemoryScan(slices()), MemoryScan(slices())
        run(load(identity=False, views=8, strength=strength), scan, uncertainty=spread)
        spreads.append(spread.written)
    np.testing.assert_allclose(spreads[1], spreads[0] / 2, rtol=1e-5)


def test_the_weights_calibration_multiplies_the_uncertainty(load: Load) -> None:
    spreads = []
    for scale in (1.0, 2.5):
        scan, spread = MemoryScan(slices()), MemoryScan(slices())
        model = load(identity=False, views=8, uncertainty=(scale, 0.0))
        run(model, scan, uncertainty=spread)
        spreads.append(spread.written)
        assert f"times {scale:g}:" in model.provenance(scan.info).uncertainty().description
    np.testing.assert_allclose(spreads[1], spreads[0] * 2.5, rtol=1e-5)


def test_what_no_spread_tells_is_added_in_quadrature(load: Load) -> None:
    spreads = []
    for floor in (0.0, 6.0):
        scan, spread = MemoryScan(slices()), MemoryScan(slices())
        model = load(identity=False, views=8, uncertainty=(2.0, floor), strength=0.5)
        run(model, scan, uncertainty=spread)
        spreads.append(np.asarray(spread.written, np.float64))
    assert (
        "times 2 and 6 HU in quadrature:" in model.provenance(scan.info).uncertainty().description
    )
    changed = spreads[0] > 0
    np.testing.assert_allclose(
        spreads[1][changed] ** 2, spreads[0][changed] ** 2 + 9.0, rtol=1e-4
    )  # a strength of 0.5 halves both


def test_a_share_of_the_value_is_added_in_quadrature_and_vanishes_with_it(load: Load) -> None:
    warm = np.full((1, 1, 48, 40), 200.0, np.float32)
    warm[..., 20:] = 0.0
    warm += 1e-3 * (np.indices((48, 40)).sum(0) % 2).astype(np.float32)  # areas of one value stay
    spreads = []
    for share in (0.0, 0.1):
        scan, spread = MemoryScan(warm), MemoryScan(warm)
        model = load(views=8, uncertainty=(2.0, 3.0, share))
        run(model, scan, uncertainty=spread)
        spreads.append(np.asarray(spread.written[0, 0], np.float64))
    assert "3 HU and 0.1 of the value in quadrature:" in (
        model.provenance(scan.info).uncertainty().description
    )
    np.testing.assert_allclose(spreads[0], 3.0, rtol=1e-5)
    np.testing.assert_allclose(spreads[1][:, :8], np.hypot(3.0, 20.0), rtol=1e-4)
    np.testing.assert_allclose(spreads[1][:, 32:], 3.0, rtol=1e-4)


def test_panes_cover_the_uncertainty_of_a_large_plane(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(cutting, "WRITTEN_SIDE", 80)
    scan, spread = MemoryScan(slices(1, 90, 170)), MemoryScan(slices(1, 90, 170))
    run(load(identity=False, views=8, pane_overlap=16), scan, uncertainty=spread)
    assert (spread.written > 0).all()
    assert spread.boxes == scan.boxes
    assert len(scan.boxes) == 6


def test_an_uncertainty_of_one_view_is_a_callers_mistake(load: Load) -> None:
    scan = MemoryScan(slices())
    with pytest.raises(ValueError, match="several views"):
        run(load(), scan, uncertainty=MemoryScan(slices()))
