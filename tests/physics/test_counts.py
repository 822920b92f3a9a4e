from __future__ import annotations

import pytest
import torch

from ratcli.physics.log_counts import FLOOR, log_moments


@pytest.mark.parametrize("electronic", [0.0, 3.0, 12.0])
@pytest.mark.parametrize("counts", [0.5, 3.0, 12.0, 60.0, 250.0, 2000.0])
def test_moments_are_those_of_drawn_readings(counts: float, electronic: float) -> None:
    generator = torch.Generator().manual_seed(7)
    expected = torch.full((400_000,), counts)
    reading = torch.poisson(expected, generator=generator)
    reading += electronic * torch.randn(reading.shape, generator=generator)
    error = torch.log(expected / reading.clamp_min(FLOOR)).double()
    mean, variance = (float(m) for m in log_moments(torch.tensor([counts]), electronic))
    sigma = float(error.std()) / len(error) ** 0.5
    # Five standard errors, and 1 % of the deviation for the table's steps.
    assert mean == pytest.approx(float(error.mean()), abs=5 * sigma + 0.01 * variance**0.5)
    assert variance == pytest.approx(float(error.var()), rel=0.03)


def test_table_and_series_meet() -> None:
    low, high = (log_moments(torch.tensor([n]), 5.0) for n in (299.9, 300.1))
    for below, above in zip(low, high, strict=True):
        assert float(below) == pytest.approx(float(above), rel=0.05)


def test_many_photons_have_the_variance_of_their_inverse() -> None:
    counts = torch.tensor([1e4, 1e5, 1e6])
    _, variance = log_moments(counts, 0.0)
    torch.testing.assert_close(variance, 1 / counts)
