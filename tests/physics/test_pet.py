from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ratcli.physics.anatomy.pet import attenuation, pet_slice
from ratcli.physics.blur import gaussian_blur
from ratcli.physics.pet import (
    TISSUE_PER_MM,
    expected_image,
    low_count_noise,
    simulate_low_count,
)
from ratcli.physics.pet_acquisition import PetCounts, sample_counts, system

SIZE, SPACING = 64, 3.0
FULL = PetCounts(counts=1e6, fraction=1.0, recovery=False)


def discs() -> Tensor:
    """A warm disc with a hot one in it, SUV."""
    axis = (torch.arange(SIZE) - (SIZE - 1) / 2) * SPACING
    x, y = axis[None], axis[:, None]
    warm = (x**2 + y**2 < 75**2).float()
    return warm + 3 * ((x - 25) ** 2 + y**2 < 15**2).float()


def flat() -> Tensor:
    """Pixels well inside the warm disc and away from the hot one."""
    axis = (torch.arange(SIZE) - (SIZE - 1) / 2) * SPACING
    return (axis[None] + 20) ** 2 + axis[:, None] ** 2 < 30**2


def draws(counts: PetCounts, number: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low_count_noise(discs().expand(number, -1, -1), SPACING, counts, generator)


def variation(counts: PetCounts) -> float:
    return float(draws(counts).std(0)[flat()].mean())


def test_back_projection_is_the_exact_adjoint_of_projection() -> None:
    model = system(40, 4)
    generator = torch.Generator().manual_seed(0)
    planes = torch.rand(1, 40, 40, generator=generator)
    projected = model.project(planes)
    rays = torch.rand(projected.shape, generator=generator)
    one = float((projected.double() * rays.double()).sum())
    pairs = zip(model.adjoint, rays, strict=True)
    back = torch.stack([matrix @ subset for matrix, subset in pairs]).sum(0).mT.view_as(planes)
    two = float((planes.double() * back.double()).sum())
    assert one == pytest.approx(two, rel=1e-6)


def test_line_integrals_through_a_square_have_its_side() -> None:
    model = system(40, 4)
    square = torch.zeros(1, 40, 40)
    square[:, 10:30, 10:30] = 1
    first = model.project(square)[0, : model.bins, 0]
    assert float(first[model.bins // 2]) == pytest.approx(20)
    # Each view holds the square's whole area.
    assert float(first.sum()) == pytest.approx(400, rel=1e-3)


def test_noise_free_data_come_back_as_the_blurred_activity() -> None:
    counts = replace(FULL, counts=1e7, iterations=6)
    image = expected_image(discs(), SPACING, counts)
    assert float(image[flat()].mean()) == pytest.approx(1, rel=0.01)
    assert float(image.max()) == pytest.approx(4, rel=0.02)


def test_noise_grows_as_the_inverse_root_of_counts() -> None:
    ratio = variation(replace(FULL, fraction=1 / 16)) / variation(FULL)
    # OSEM's update is not linear: a tenth.
    assert ratio == pytest.approx(4, rel=0.1)


def test_a_scan_gets_only_the_noise_that_it_lacks() -> None:
    quarter = replace(FULL, fraction=0.25)
    scan = replace(quarter, original=1.0)
    assert variation(scan) / variation(quarter) == pytest.approx(0.75**0.5, rel=1e-3)


def test_noise_has_no_offset() -> None:
    noise = draws(replace(FULL, fraction=0.1), 24)
    error = float(noise.std(0)[flat()].mean()) / 24**0.5
    # Neighbouring pixels share their noise: about one independent grain in 12 pixels.
    error /= (int(flat().sum()) / 12) ** 0.5
    assert abs(float(noise[:, flat()].mean())) < 4 * error


def test_noise_follows_the_uptake() -> None:
    axis = (torch.arange(SIZE) - (SIZE - 1) / 2) * SPACING
    hot = (axis[None] - 25) ** 2 + axis[:, None] ** 2 < 9**2
    spread = draws(replace(FULL, fraction=0.1), 16).std(0)
    assert float(spread[hot].mean()) > 1.5 * float(spread[flat()].mean())


def test_attenuation_makes_the_middle_noisier() -> None:
    dense = torch.full((SIZE, SIZE), TISSUE_PER_MM) * (discs() > 0)
    clear = torch.zeros(SIZE, SIZE)
    uniform = (discs() > 0).float()
    axis = (torch.arange(SIZE) - (SIZE - 1) / 2) * SPACING
    radius = torch.hypot(axis[None].expand(SIZE, -1), axis[:, None].expand(-1, SIZE))

    def ratio(mu: Tensor) -> float:
        generator = torch.Generator().manual_seed(1)
        many, maps = (t.expand(12, -1, -1) for t in (uniform, mu))
        spread = low_count_noise(many, SPACING, FULL, generator, maps.contiguous()).std(0)
        ring = (radius > 55) & (radius < 62)
        return float(spread[radius < 20].mean() / spread[ring].mean())

    assert ratio(dense) > 1.15 * ratio(clear)


def test_randoms_and_scatter_raise_noise_at_the_same_counts() -> None:
    clean = variation(replace(FULL, randoms=0.0, scatter=0.0))
    assert variation(replace(FULL, randoms=0.4, scatter=0.4)) > 1.3 * clean


def test_resolution_recovery_lowers_noise() -> None:
    assert variation(replace(FULL, recovery=True)) < variation(FULL)


def test_white_matter_varies_as_published() -> None:
    plane = pet_slice(np.random.default_rng(3), 128, 2.0, "head")
    suv, mu = torch.from_numpy(plane.suv), torch.from_numpy(plane.attenuation_per_mm)
    expected = expected_image(suv, 2.0, FULL, mu)
    generator = torch.Generator().manual_seed(0)
    many, maps = (t.expand(6, -1, -1).contiguous() for t in (suv, mu))
    spread = low_count_noise(many, 2.0, FULL, generator, maps).std(0)
    white = (suv > 1.4) & (suv < 2.6)
    # 12 % at 1e6 counts a plane, 2 mm pixels, 3 x 12 OSEM and 4 mm filter, for another phantom.
    assert float((spread / expected)[white].median()) == pytest.approx(0.12, abs=0.03)


def test_low_counts_are_never_negative() -> None:
    counts = replace(FULL, fraction=0.02)
    low = simulate_low_count(discs(), SPACING, counts, torch.Generator().manual_seed(0))
    assert float(low.min()) == 0


def test_the_same_seed_draws_the_same_noise_and_a_batch_draws_in_turn() -> None:
    counts = replace(FULL, fraction=0.25)
    together = draws(counts, 2, seed=4)
    generator = torch.Generator().manual_seed(4)
    alone = [low_count_noise(discs(), SPACING, counts, generator) for _ in range(2)]
    assert torch.equal(together, torch.stack(alone))


def test_a_plane_without_activity_stays_empty() -> None:
    empty = torch.zeros(20, 30)
    assert torch.equal(simulate_low_count(empty, 4.0, FULL), empty)


@pytest.mark.parametrize("shape", [(60, 41), (30, 27), (334, 30)])
def test_planes_of_any_shape_are_degraded_in_place(shape: tuple[int, int]) -> None:
    plane = torch.zeros(shape)
    rows, columns = shape[0] // 4, shape[1] // 4
    plane[rows : 3 * rows, columns : 3 * columns] = 2
    noise = low_count_noise(plane, 2.0, FULL, torch.Generator().manual_seed(0))
    assert noise.shape == shape
    assert float(noise[plane > 0].std()) > 3 * float(noise[plane == 0].std())


def test_a_blur_keeps_the_sum_and_has_its_width() -> None:
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    soft = gaussian_blur(point, 6.0)[0]
    axis = torch.arange(41) - 20.0
    assert float(soft.sum()) == pytest.approx(1, abs=1e-4)
    width = float((soft.sum(0) * axis**2).sum() * 8 * np.log(2)) ** 0.5
    assert width == pytest.approx(6, rel=0.03)


def test_attenuation_of_water_air_and_bone() -> None:
    values = attenuation(np.array([-1000, 0, 1000], np.float32))
    assert values == pytest.approx([0, 0.0096, 0.0144])


@pytest.mark.parametrize("region", ["head", "chest", "abdomen"])
def test_drawn_uptake_repeats_and_lies_in_the_body(region: str) -> None:
    first, second = (pet_slice(np.random.default_rng(5), 64, 6.0, region) for _ in range(2))
    assert np.array_equal(first.suv, second.suv)
    assert first.suv.shape == first.labels.shape == first.attenuation_per_mm.shape == (64, 64)
    assert first.suv.min() >= 0
    assert first.suv[first.attenuation_per_mm < 1e-4].max() < 0.5 * first.suv.max()


def test_grey_matter_takes_up_four_times_as_much_as_white() -> None:
    plane = pet_slice(np.random.default_rng(3), 192, 1.3, "head")
    grey, white = plane.suv[plane.suv > 4.5], plane.suv[(plane.suv > 1.4) & (plane.suv < 2.6)]
    assert 3 < np.median(grey) / np.median(white) < 5


def test_drawn_counts_stay_in_the_family_and_repeat() -> None:
    drawn = [sample_counts(np.random.default_rng(seed)) for seed in range(100)]
    assert all(1 / 20 <= c.fraction <= 1 / 4 and 2e5 <= c.counts <= 4e6 for c in drawn)
    assert drawn[3] == sample_counts(np.random.default_rng(3))


def test_more_counts_than_the_input_has_are_refused() -> None:
    with pytest.raises(ValueError, match="below"):
        PetCounts(fraction=0.5, original=0.25)
