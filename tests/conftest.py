"""What all tests share: on a machine that has the validators, none of them may be skipped."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

VALIDATORS = (
    "dciodvfy",
    "dcentvfy",
    "dcmdump",
    "storescp",
    "dcm2niix",
    "nifti_tool",
    "tiffinfo",
    "vips",
    "openslide-show-properties",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where RAT_REQUIRE_VALIDATORS is set, fail a test that is skipped for want of one."""
    report = yield
    if os.environ.get("RAT_REQUIRE_VALIDATORS") and report.skipped and call.excinfo is not None:
        reason = str(call.excinfo.value)
        if any(name in reason for name in VALIDATORS):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped, but validators are required: {reason}"
    return report
