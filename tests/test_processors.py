"""The processors that a process may use: affinity, and quotas of both kinds of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from ratcli import processors
from ratcli.batch.pool import threads_each
from ratcli.network.device import choose_device
from ratcli.processors import quota, usable_processors

FREE = float("inf")


def write(root: Path, files: dict[str, str], own: str) -> float:
    """Return the quota where the system shows these files and this process is in these groups."""
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "self").write_text(own)
    return quota(root / "cgroup", root / "self")


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/\n", FREE),
        # Inside a container the path is that of the host, and the root is the container's own.
        ({"cpu.max": "200000 100000\n"}, "0::/docker/12ab\n", 2.0),
        ({"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "300000 100000\n"}, "0::/a/b\n", 3.0),
        ({"other/cpu.max": "100000 100000\n"}, "0::/a\n", FREE),
        (
            {"cpu/job/cpu.cfs_quota_us": "250000\n", "cpu/job/cpu.cfs_period_us": "50000\n"},
            "5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n",
            5.0,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "1:cpu:/\n", FREE),
        ({"cpu.max": "nonsense"}, "0::/\n", FREE),
        ({}, "0::/\n", FREE),
        ({}, "1:name=systemd:/a:b\n", FREE),
    ],
)
def test_the_quota_is_that_of_the_tightest_group(
    files: dict[str, str], own: str, expected: float, tmp_path: Path
) -> None:
    assert write(tmp_path, files, own) == expected


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path, tmp_path / "missing") == FREE


@pytest.mark.parametrize(("limit", "expected"), [(FREE, 8), (3.9, 3), (0.5, 1), (64.0, 8)])
def test_the_smaller_of_affinity_and_quota_counts(
    limit: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(processors, "quota", lambda: limit)
    assert usable_processors() == expected


@pytest.mark.parametrize(
    ("processes", "variable", "expected"), [(1, "", 0), (2, "", 3), (16, "", 1), (2, "4", 0)]
)
def test_processes_share_the_processors_unless_the_user_gives_each_its_threads(
    processes: int, variable: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ratcli.batch.pool.usable_processors", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert threads_each(processes) == expected


@pytest.mark.parametrize(
    ("threads", "variable", "expected"), [(0, "", 2), (5, "", 5), (0, "3", 3), (1, "3", 1)]
)
def test_torch_takes_no_more_threads_than_the_quota_unless_the_user_says_so(
    threads: int, variable: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("ratcli.network.device.usable_processors", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    try:
        torch.set_num_threads(3)
        choose_device("cpu", threads)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
