"""What all tests share: tiny weights; and, where RAT_NO_SKIPS is set, a run without skips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from skip_policy import SCANS, refused_skips
from tiny_weights import make_weights


def _refused(config: pytest.Config) -> list[str]:
    """Return where and why tests were skipped that may not be; none in a worker of xdist."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("RAT_NO_SKIPS") or hasattr(config, "workerinput") or reporter is None:
        return []
    skipped = [report.longrepr for report in reporter.stats.get("skipped", [])]
    told = [f"{where}:{line}: {reason}" for where, line, reason in skipped]
    return refused_skips(told, scans_are_here=SCANS.is_dir())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a test was skipped for want of anything but the real scans."""
    if _refused(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which skips failed the run."""
    for reason in _refused(config):
        terminalreporter.write_line(f"RAT_NO_SKIPS: {reason}", red=True)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights of random numbers under the tasks' default names."""
    return make_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def tiny_weights(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use those weights."""
    monkeypatch.setenv("RAT_HOME", str(tiny_folder))
    return tiny_folder
