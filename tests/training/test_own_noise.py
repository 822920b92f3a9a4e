"""A slice's own noise is measured, and a target made from it shares no noise with the input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ratcli.network.rat import NetworkSettings
from ratcli.physics.ct import low_dose_noise
from ratcli.physics.ct_dose import CtDose, Kernel
from ratcli.tasks import get_task
from ratcli.training.examples import TargetPlane
from ratcli.training.own_noise import find_flat_patches, kernels_like
from ratcli.training.recipe import Recipe
from ratcli.training.sources import make_source

KERNEL = Kernel("gaussian", 0.3)
SPACING_MM = 1.5


def disc(side: int = 192) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side] - side / 2
    return np.where(rows**2 + columns**2 < (0.4 * side) ** 2, 40, -1000).astype(np.float32)


def noise(seed: int, sigma_hu: float = 20.0) -> np.ndarray:
    dose = CtDose(kernel=KERNEL, noise_hu=sigma_hu, modulation=0.6)
    generator = torch.Generator().manual_seed(seed)
    return low_dose_noise(torch.from_numpy(disc()), SPACING_MM, dose, generator).numpy()


@pytest.mark.parametrize("sigma_hu", [5.0, 40.0])
def test_own_noise_is_that_of_the_same_patches_without_the_anatomy(sigma_hu: float) -> None:
    drawn = noise(1, sigma_hu)
    found = find_flat_patches(disc() + drawn)
    assert found is not None
    assert found.noise_hu == pytest.approx(found.deviation(drawn), rel=0.01)


def test_a_slice_without_soft_tissue_has_no_patches() -> None:
    assert find_flat_patches(np.full((64, 64), -1000, np.float32)) is None


def test_a_kernel_that_made_the_noise_is_among_those_that_are_alike() -> None:
    found = find_flat_patches(disc() + noise(2))
    assert found is not None
    cutoffs = [
        k.cutoff_per_mm for k in kernels_like(found.lag_one, SPACING_MM) if k.name == "gaussian"
    ]
    assert min(abs(cutoff - KERNEL.cutoff_per_mm) for cutoff in cutoffs) < 0.025


def test_the_target_shares_no_noise_with_the_input() -> None:
    task, shape = get_task("ct-denoise"), NetworkSettings()
    recipe = replace(Recipe("ct-denoise", shape), procedural=0.0, noise_hu=(10.0, 40.0), seed=5)
    inside = disc(192 - 60)[..., :] > 0
    shared = []
    for seed in range(8):
        plane = TargetPlane("p", (disc() + noise(seed))[None], SPACING_MM)
        example = make_source(task, recipe, [plane]).make(seed)
        clean = task.normalise(disc()[None])
        given, wanted = (
            (part - clean)[0, 30:-30, 30:-30][inside] for part in (example.degraded, example.target)
        )
        shared.append(float(np.corrcoef(given, wanted)[0, 1]))
    # With the slice itself as target it is above 0.4; each draw is sure to about 0.03.
    assert np.mean(shared) == pytest.approx(0, abs=0.05)


def test_the_correlation_of_two_planes_is_that_of_their_noise() -> None:
    mine, other = noise(1), noise(2)
    patches = find_flat_patches(disc() + mine)
    assert patches is not None
    shared = disc() + 0.6 * mine + 0.8 * other
    assert patches.correlation(disc() + mine, shared) == pytest.approx(0.6, abs=0.08)
    assert patches.correlation(disc() + mine, disc() + other) == pytest.approx(0, abs=0.08)
