from __future__ import annotations

import numpy as np
import pytest

from research.bias import mean_bias


def test_bias_is_not_clipped() -> None:
    reference = np.full((8, 8), 2990.0, np.float32)
    assert mean_bias(reference + 200.0, reference) == pytest.approx(200.0)


def test_bias_inside_a_mask_ignores_the_outside() -> None:
    image = np.zeros((8, 8), np.float32)
    image[:4] = 5.0
    mask = image > 0
    assert mean_bias(image, np.zeros_like(image), mask) == pytest.approx(5.0)
