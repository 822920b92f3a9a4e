"""What each example weighs in the loss."""

from __future__ import annotations

import torch

from ratcli.training.loss import degradation_size, focal_region_loss


def test_a_quiet_example_weighs_as_much_as_a_noisy_one() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(2, 1, 32, 32, generator=generator)
    noise = torch.randn(1, 1, 32, 32, generator=generator)
    degraded = clean + noise * torch.tensor([0.05, 0.5]).view(2, 1, 1, 1)
    size = degradation_size(degraded, clean)
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    quiet, noisy = (
        focal_region_loss((degraded / size)[i : i + 1], (clean / size)[i : i + 1], labels, 0.0, 0.5)
        for i in range(2)
    )
    torch.testing.assert_close(quiet, noisy, rtol=0.01, atol=0)


def test_an_example_that_nothing_changed_has_a_size() -> None:
    clean = torch.ones(1, 1, 8, 8)
    assert degradation_size(clean, clean, least=0.01).item() > 0
