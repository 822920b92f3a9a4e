"""Errors that are told, and the one that a batch ends with."""

from __future__ import annotations

import logging

import pytest
import torch

from ratcli.batch.outcome import TRACE, Outcome, as_rat_error, failure_of
from ratcli.errors import UnsuitableInputError, UsageError


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


@pytest.mark.parametrize("name", ["loc", "s", "CT", "a.dcm", "d_series2"])
def test_a_failure_names_its_scan_even_if_the_name_is_part_of_a_word(name: str) -> None:
    told = Outcome.failure(name, UnsuitableInputError("modality is CT, not for localizers"))
    assert told.error.startswith(f"{name}: modality")
    assert Outcome.failure(name, UsageError(f"{name} is empty")).error == f"{name} is empty"


def test_a_batch_of_which_all_failed_does_not_say_that_others_are_done() -> None:
    failures = [
        Outcome.failure("a", UnsuitableInputError("no")),
        Outcome.failure("b", UsageError("no")),
    ]
    error = failure_of(failures)
    assert error is not None
    assert (error.hint, error.exit_code) == ("The reasons are given above.", 8)
    partly = failure_of([*failures, Outcome("c", "done")])
    assert partly is not None
    assert partly.hint.startswith("The others are done")
