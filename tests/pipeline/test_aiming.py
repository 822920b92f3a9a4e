"""One strength for a whole scan, chosen from the noise that is wanted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from memory_scan import MemoryScan, run
from scipy.ndimage import gaussian_filter

from ratcli.errors import MeasurementError, UsageError
from ratcli.physics.local_noise import typical_noise
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.aiming import aimed, check_target, sample_planes
from ratcli.pipeline.model import Model
from ratcli.pipeline.settings import NoiseTarget
from ratcli.tasks import get_task

Load = Callable[..., Model]
SOFT = (-160.0, 240.0)


def noisy_scan(planes: int = 3, sd: float = 20.0) -> MemoryScan:
    noise = np.random.default_rng(0).normal(40, sd, (planes, 1, 48, 48))
    return MemoryScan(noise.astype(np.float32))


@pytest.fixture
def smoothing(load: Load, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that loads a model whose network smooths, as a trained one does."""

    def make(**settings: object) -> Model:
        model = load(kept=None, **settings)
        (engine,) = model._engines

        def restore(planes: list[np.ndarray], *_: object) -> list[np.ndarray]:
            return [gaussian_filter(plane[:1], (0, 1.5, 1.5)) for plane in planes]

        monkeypatch.setattr(engine, "restore", restore)
        return model

    return make


def test_the_noise_that_is_wanted_is_left(smoothing: Load) -> None:
    scan = noisy_scan()
    model, chosen = aimed(smoothing(target=NoiseTarget(12.0, None)), scan)
    run(model, scan)
    left = np.median([typical_noise(plane[0], SOFT) for plane in scan.written])
    assert chosen is not None
    assert 0.2 < model.settings.strength < 0.8
    # The strength is known to 0.001, and full restoration takes away some 17 HU.
    assert left == pytest.approx(12.0, abs=0.1)
    assert (chosen.strength, chosen.noise_hu) == pytest.approx((model.settings.strength, left))
    assert chosen.input_noise_hu == pytest.approx(20.0, rel=0.1)


def test_four_times_the_dose_is_half_of_the_noise(smoothing: Load) -> None:
    _, chosen = aimed(smoothing(target=NoiseTarget(None, 4.0)), noisy_scan())
    assert chosen is not None
    assert chosen.noise_hu == pytest.approx(chosen.input_noise_hu / 2, rel=0.01)


def test_all_planes_of_a_scan_get_one_strength(smoothing: Load) -> None:
    scan = noisy_scan(planes=7)
    scan.values[1] = scan.values[1] * 2 - 40  # a noisier plane
    model, _ = aimed(smoothing(target=NoiseTarget(12.0, None)), scan)
    run(model, scan)
    smooth = gaussian_filter(scan.values, (0, 0, 1.5, 1.5))
    shares = (scan.written - scan.values) / (smooth - scan.values)
    clear = np.abs(smooth - scan.values) > 1
    assert shares[clear] == pytest.approx(model.settings.strength, abs=0.01)


def test_the_provenance_records_strength_and_target(smoothing: Load) -> None:
    scan = noisy_scan()
    model, chosen = aimed(smoothing(target=NoiseTarget(12.0, None)), scan)
    assert chosen is not None
    text = model.provenance(scan.info).restored().description
    assert f"strength {chosen.strength:g} chosen for a noise of 12 HU" in text


@pytest.mark.parametrize("wanted", [25.0, 1.0])
def test_a_noise_that_no_strength_gives_is_refused(smoothing: Load, wanted: float) -> None:
    with pytest.raises(MeasurementError, match="no strength gives"):
        aimed(smoothing(target=NoiseTarget(wanted, None)), noisy_scan())


def test_a_scan_without_noise_is_refused(smoothing: Load) -> None:
    flat = MemoryScan(np.full((1, 1, 48, 48), 40, np.float32))
    with pytest.raises(MeasurementError, match="no plane shows noise"):
        aimed(smoothing(target=NoiseTarget(10.0, None)), flat)


def test_without_a_target_nothing_is_measured(load: Load) -> None:
    scan, model = noisy_scan(), load()
    assert aimed(model, scan) == (model, None)
    assert scan.reads == []


def test_only_ct_has_a_target() -> None:
    target = NoiseTarget(10.0, None)
    check_target(RestoreSettings(task=get_task("ct-denoise"), target=target))
    with pytest.raises(UsageError, match="not for pet-synthesis"):
        check_target(RestoreSettings(task=get_task("pet-synthesis"), target=target))


def test_sampled_planes_are_spread_over_the_scan() -> None:
    assert sample_planes(noisy_scan(3).info) == [0, 1, 2]
    assert sample_planes(noisy_scan(50).info) == [5, 15, 25, 35, 45]
