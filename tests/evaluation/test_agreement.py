from __future__ import annotations

import numpy as np
import pytest

from ratcli.errors import MeasurementError
from ratcli.evaluation.regions import bland_altman


def test_agreement_has_bias_and_limits() -> None:
    truth = np.arange(1.0, 11.0)
    offsets = np.tile([0.1, 0.3], 5)
    result = bland_altman(list(truth + offsets), list(truth))
    assert result.bias == pytest.approx(0.2)
    assert result.high - result.bias == pytest.approx(1.96 * np.std(offsets, ddof=1))
    assert result.bias_low < 0.2 < result.bias_high


def test_two_pairs_show_no_agreement() -> None:
    with pytest.raises(MeasurementError, match="three or more"):
        bland_altman([1.0, 2.0], [1.0, 2.0])
