"""What settings of a restoration are refused."""

from __future__ import annotations

import pytest

from ratcli.errors import UsageError
from ratcli.network.settings import EngineSettings
from ratcli.pipeline import RestoreSettings
from ratcli.tasks import get_task


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"pane": -1}, {"pane_overlap": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        RestoreSettings(task=get_task("ct-denoise"), **wrong)


@pytest.mark.parametrize("wrong", [{"precision": "fp8"}, {"tile": -64}])
def test_engine_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        EngineSettings(**wrong)
