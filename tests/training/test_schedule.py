"""The learning rate of each step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from training_scans import RECIPE

from ratcli.training.objective import learning_rate


def test_the_rate_warms_up_and_falls_to_the_final_one() -> None:
    recipe = replace(RECIPE, steps=100, warmup=10, learning_rate=1e-3, final_rate=1e-6)
    rates = [learning_rate(recipe, step) for step in range(100)]
    assert rates[9] == pytest.approx(1e-3)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 3e-6
