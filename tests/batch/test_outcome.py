"""Errors that are told, and the one that a batch ends with."""

from __future__ import annotations

import logging

import pytest
import torch

from ratcli.batch.outcome import TRACE, as_rat_error


def test_too_little_memory_for_torch_is_no_fault_of_rat() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 48)
    assert as_rat_error(caught.value).exit_code == 6


def test_a_fault_of_rat_is_traced_below_all_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(TRACE, "ratcli.batch"):
        told = as_rat_error(ZeroDivisionError("of SECRET"))
    assert "SECRET" not in str(told)
    (record,) = caplog.records
    assert record.levelno < logging.DEBUG
    assert "ZeroDivisionError: of SECRET" in record.getMessage()
