"""What all tests share: tiny weights; and where validators are required, none is skipped."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from tiny_weights import make_weights

VALIDATORS = (
    "dciodvfy",
    "dcentvfy",
    "dcmdump",
    "storescp",
    "dcm2niix",
    "nifti_tool",
    "tiffinfo",
    "vips",
    "openslide-",
    "apt-get install",
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


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights of random numbers under the tasks' default names."""
    return make_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def tiny_weights(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use those weights."""
    monkeypatch.setenv("RAT_HOME", str(tiny_folder))
    return tiny_folder
