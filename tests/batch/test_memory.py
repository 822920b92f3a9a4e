from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ratcli.batch.memory import Budget, Portion, parse_bytes
from ratcli.batch.restoring import RestoreWork
from ratcli.errors import DeviceError, UsageError
from ratcli.network.settings import EngineSettings
from ratcli.pipeline import RestoreSettings
from ratcli.scan import ScanInfo
from ratcli.tasks import get_task

pytestmark = pytest.mark.usefixtures("tiny_weights")

SLICE = ScanInfo(100, 1, 512, 512, (1.0, 1.0, 1.0), "CT", "HU", 16, "dicom")
LARGE = replace(SLICE, height=2000, width=2000)
GB = 10**9


def fit(limit: float, info: ScanInfo = LARGE) -> Portion:
    return Budget(int(limit * GB), network_bytes=1400).portion(info)


def limited() -> RestoreWork:
    settings = RestoreSettings(task=get_task("ct-denoise"), engine=EngineSettings(threads=1))
    return RestoreWork(settings=settings, memory_bytes=2 * GB)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GB", 4 * 10**9), ("1500 MB", 15 * 10**8), ("1.5g", 15 * 10**8), ("2GiB", 2 * 10**9)],
)
def test_amounts_of_memory_are_read(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "much", "-4GB", "4 GB RAM"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an amount of memory"):
        parse_bytes(text)


def test_more_memory_gives_larger_panes_up_to_whole_planes() -> None:
    panes = [fit(limit).pane for limit in (1.6, 2, 2.5, 8)]
    assert 128 <= panes[0] < panes[1] < panes[2]
    assert panes[3] == 0


def test_small_planes_go_together_where_there_is_room() -> None:
    assert fit(1.4, SLICE) == Portion(0, 1)
    assert fit(2, SLICE) == Portion(0, 2)
    assert fit(2.1, SLICE) == Portion(0, 3)
    assert fit(64, SLICE) == Portion(0, 8)


def test_a_wider_network_gets_smaller_panes() -> None:
    narrow, wide = (Budget(3 * GB, each).portion(LARGE).pane for each in (1400, 2800))
    assert wide < narrow


def test_a_finer_grid_gets_smaller_panes() -> None:
    budget = Budget(3 * GB, 1400)
    assert [budget.portion(SLICE, scale=scale).pane for scale in (1, 4)] == [0, 1024]


def test_a_slide_needs_room_for_its_panes_alone() -> None:
    slide = replace(SLICE, channels=3, height=100_000, width=100_000)
    assert fit(3, slide).pane >= 128


def test_too_little_memory_is_told_with_what_is_needed() -> None:
    with pytest.raises(DeviceError) as caught:
        fit(0.1, SLICE)
    assert "at least 1.0 GB for this scan" in caught.value.hint


def test_the_network_of_a_process_is_shared_by_all_that_fits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = limited().load()
    with caplog.at_level(logging.DEBUG, "ratcli.batch"):
        small, large = worker.model_for(SLICE), worker.model_for(LARGE)
    assert (small.settings.pane, large.settings.pane > 0) == (0, True)
    assert len(large.cut(LARGE).panes()) > len(small.cut(SLICE).panes()) == 1
    assert worker.model_for(replace(SLICE, planes=3)) is small
    assert "whole planes, at most" in caplog.text
    assert "panes of" in caplog.text


def test_a_budget_does_not_reload_the_weights(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = limited().load()
    monkeypatch.setenv("RAT_HOME", str(tiny_weights / "nowhere"))
    assert worker.model_for(LARGE).settings.pane > 0
