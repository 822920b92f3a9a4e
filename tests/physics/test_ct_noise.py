from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ratcli.physics.ct import (
    PITCH_MM,
    VIEWS,
    WATER_PER_MM,
    blur_with_kernel,
    calibrate_photons,
    hu_to_mu,
    low_dose_noise,
    mu_to_hu,
)
from ratcli.physics.ct_dose import CtDose, Kernel, sample_dose

SIZE, SPACING = 192, 1.0
PLAIN = CtDose(
    fraction=0.25, photons=2e5, electronic=0.0, bowtie=0.0, kernel=Kernel("gaussian", 0.2)
)


def cylinder(rx: float = 70.0, ry: float | None = None, hu: float = 0.0) -> Tensor:
    axis = (torch.arange(SIZE) - (SIZE - 1) / 2) * SPACING
    ry = rx if ry is None else ry
    inside = (axis[None] / rx) ** 2 + (axis[:, None] / ry) ** 2 < 1
    return torch.where(inside, hu, -1000.0)


def draws(hu: Tensor, dose: CtDose, count: int = 24, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low_dose_noise(hu.expand(count, -1, -1), SPACING, dose, generator)


def centre(noise: Tensor, half: int = 12) -> Tensor:
    middle = slice(SIZE // 2 - half, SIZE // 2 + half)
    return noise[..., middle, middle]


def expected_variance(dose: CtDose, diameter_mm: float) -> float:
    """HU^2 at the middle of a cylinder: pi^2 / views x pitch x variance x integral of (f A)^2."""
    counts = dose.photons * dose.fraction * math.exp(-WATER_PER_MM * diameter_mm)
    scale = (1000 / WATER_PER_MM) ** 2 * math.pi**2 / VIEWS * PITCH_MM
    return scale / counts * dose.kernel.noise_gain(2.0)


def power_by_direction(noise: Tensor) -> tuple[float, float]:
    """Power along horizontal and along vertical frequencies of `(B, L, L)`."""
    power = torch.fft.fft2(noise).abs().square().mean(0)
    f = torch.fft.fftfreq(noise.shape[-1]).abs()
    horizontal = f[None, :] > 2 * f[:, None]
    return float(power[horizontal].mean()), float(power[horizontal.mT].mean())


def test_variance_at_the_centre_is_the_closed_form() -> None:
    measured = float(centre(draws(cylinder(), PLAIN)).var())
    assert measured == pytest.approx(expected_variance(PLAIN, 140.0), rel=0.08)


def test_spectrum_at_the_centre_is_the_ramp_times_the_kernel_squared() -> None:
    patches = centre(draws(cylinder(), PLAIN, 48), 16)
    power = torch.fft.fft2(patches - patches.mean((1, 2), keepdim=True)).abs().square().mean(0)
    f = torch.fft.fftfreq(32, SPACING)
    radius = torch.hypot(f[:, None].expand(-1, 32), f[None].expand(32, -1))
    theory = radius * PLAIN.kernel.response(radius) ** 2
    for low, high in ((0.08, 0.14), (0.14, 0.2), (0.2, 0.27), (0.27, 0.35)):
        ring = (radius >= low) & (radius < high)
        share = float(power[ring].sum() / power.sum())
        assert share == pytest.approx(float(theory[ring].sum() / theory.sum()), rel=0.12)


def test_a_quarter_of_the_dose_has_twice_the_noise() -> None:
    full = float(centre(draws(cylinder(), replace(PLAIN, fraction=1.0))).std())
    quarter = float(centre(draws(cylinder(), PLAIN, seed=1)).std())
    assert quarter / full == pytest.approx(2, rel=0.05)


def test_a_scan_gets_only_the_variance_that_it_lacks() -> None:
    clean = float(centre(draws(cylinder(), PLAIN)).var())
    scan = float(centre(draws(cylinder(), replace(PLAIN, original=1.0))).var())
    # Dose 1 has a quarter of the variance already.
    assert scan / clean == pytest.approx(0.75, rel=0.02)


def test_a_scan_of_the_same_dose_gets_no_noise() -> None:
    dose = replace(PLAIN, original=0.25)
    assert float(draws(cylinder(), dose, 1).abs().max()) == 0


def test_noise_has_no_offset_even_when_photons_starve() -> None:
    noise = centre(draws(cylinder(), replace(PLAIN, photons=600.0, electronic=4.0)), 24)
    error = float(noise.std()) / math.sqrt(noise.shape[0] * 30)
    assert float(noise.std()) > 100
    assert abs(float(noise.mean())) < 4 * error


def test_noise_reaches_the_wanted_deviation_in_soft_tissue() -> None:
    hu = cylinder(80, 50, hu=40.0)
    noise = draws(hu, replace(PLAIN, noise_hu=30.0, electronic=5.0, bowtie=1.0))
    assert float(noise[:, hu > -160].std()) == pytest.approx(30, rel=0.03)


def test_calibrated_photons_give_the_same_noise_as_a_wanted_deviation() -> None:
    hu = cylinder(80, 50)
    dose = calibrate_photons(hu, SPACING, PLAIN, 25.0)
    assert dose.noise_hu is None
    wanted = draws(hu, replace(PLAIN, noise_hu=25.0), 1)
    torch.testing.assert_close(draws(hu, dose, 1), wanted, rtol=1e-3, atol=1e-2)


def test_a_wide_body_has_more_power_along_vertical_frequencies() -> None:
    horizontal, vertical = power_by_direction(centre(draws(cylinder(90, 45), PLAIN)))
    assert horizontal < 0.6 * vertical


def test_a_round_body_has_the_same_power_in_both_directions() -> None:
    horizontal, vertical = power_by_direction(centre(draws(cylinder(), PLAIN)))
    assert horizontal == pytest.approx(vertical, rel=0.1)


def test_tube_current_modulation_evens_out_the_directions() -> None:
    def ratio(modulation: float) -> float:
        dose = replace(PLAIN, modulation=modulation)
        horizontal, vertical = power_by_direction(centre(draws(cylinder(90, 45), dose)))
        return horizontal / vertical

    assert ratio(0.0) < ratio(0.5) < ratio(1.0) == pytest.approx(1, rel=0.15)


def test_the_bowtie_raises_noise_towards_the_edge() -> None:
    def edge(bowtie: float) -> float:
        noise = draws(cylinder(80), replace(PLAIN, bowtie=bowtie))
        return float(noise[..., 88:104, 25:35].std() / centre(noise).std())

    assert edge(40.0) > 1.2 * edge(0.0)


def test_the_middle_is_noisier_than_the_edge() -> None:
    noise = draws(cylinder(90), PLAIN)
    assert float(centre(noise).std()) > 1.3 * float(noise[..., 88:104, 12:20].std())


def test_averaged_rows_lower_the_variance_by_their_number() -> None:
    one = float(centre(draws(cylinder(), PLAIN)).var())
    four = float(centre(draws(cylinder(), replace(PLAIN, readings=4.0))).var())
    assert one / four == pytest.approx(4, rel=1e-3)


def test_the_correction_for_beam_hardening_amplifies_noise() -> None:
    plain = float(centre(draws(cylinder(), PLAIN)).var())
    p, beta = WATER_PER_MM * 140, 0.02
    q = (math.sqrt(1 + 4 * beta * p) - 1) / (2 * beta)
    hardened = float(centre(draws(cylinder(), replace(PLAIN, hardening=beta))).var())
    theory = (1 + 2 * beta * q) ** 2 * math.exp(q - p)
    assert hardened / plain == pytest.approx(theory, rel=0.05)


def test_noise_is_almost_gaussian() -> None:
    noise = centre(draws(cylinder(), PLAIN, 48))
    z = (noise - noise.mean()) / noise.std()
    assert abs(float((z**4).mean()) - 3) < 0.3


def test_the_same_seed_draws_the_same_noise() -> None:
    first, second = (draws(cylinder(), PLAIN, 2, seed=5) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, draws(cylinder(), PLAIN, 2, seed=6))


def test_a_batch_draws_what_single_planes_draw_in_turn() -> None:
    planes = torch.stack([cylinder(70), cylinder(80, 50, hu=60.0), cylinder(40)])
    together = low_dose_noise(planes, SPACING, PLAIN, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    alone = torch.stack([low_dose_noise(p, SPACING, PLAIN, generator) for p in planes])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)


def test_padding_gets_no_noise() -> None:
    hu = cylinder()
    hu[:8] = -2000.0
    noise = draws(hu, PLAIN, 1)[0]
    assert torch.equal(noise[:8], torch.zeros_like(noise[:8]))
    assert (noise[8:] != 0).all()


def test_planes_need_not_be_square() -> None:
    hu = cylinder(60)[20:150]
    noise = low_dose_noise(hu, SPACING, PLAIN, torch.Generator().manual_seed(0))
    assert noise.shape == hu.shape
    assert bool(noise.isfinite().all())


def test_air_alone_is_degraded_without_failing() -> None:
    air = torch.full((64, 64), -1000.0)
    dose = replace(PLAIN, noise_hu=20.0)
    noise = low_dose_noise(air, SPACING, dose, torch.Generator().manual_seed(0))
    assert 5 < float(noise.std()) < 50


def test_hounsfield_units_and_attenuation_invert_each_other() -> None:
    hu = torch.tensor([-1000.0, 0.0, 1500.0])
    assert float(hu_to_mu(hu)[1]) == pytest.approx(WATER_PER_MM)
    torch.testing.assert_close(mu_to_hu(hu_to_mu(hu)), hu)
    assert float(hu_to_mu(torch.tensor(-3024.0))) == 0


def test_a_kernel_keeps_the_mean_and_softens_edges() -> None:
    hu = cylinder(60, hu=50.0)
    soft = blur_with_kernel(hu, SPACING, Kernel("gaussian", 0.15))
    assert float(soft.mean()) == pytest.approx(float(hu.mean()), abs=1e-2)
    assert float(soft.diff(dim=1).abs().max()) < 0.5 * float(hu.diff(dim=1).abs().max())


@pytest.mark.parametrize("name", ["gaussian", "hann", "cosine", "ramp", "edge"])
def test_every_kernel_passes_the_mean_and_stops_the_highest_frequencies(name: str) -> None:
    gain = Kernel(name, 0.5).response(torch.tensor([0.0, 2.5]))
    assert float(gain[0]) == pytest.approx(1)
    assert abs(float(gain[1])) < 1e-5


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="no kernel 'bone'"):
        Kernel("bone", 0.5)


def test_a_dose_above_the_inputs_own_is_refused() -> None:
    with pytest.raises(ValueError, match="below"):
        CtDose(fraction=0.5, original=0.25)


def test_drawn_doses_span_the_family_and_repeat_with_their_seed() -> None:
    drawn = [sample_dose(np.random.default_rng(seed)) for seed in range(200)]
    noise = np.array([dose.noise_hu for dose in drawn])
    assert noise.min() < 16 < 90 < noise.max()
    assert {dose.kernel.name for dose in drawn} == {"gaussian", "hann", "cosine", "ramp", "edge"}
    assert drawn[3] == sample_dose(np.random.default_rng(3))
