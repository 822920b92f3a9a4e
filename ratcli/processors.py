"""How many processors this process may use: by its affinity, and by the quota of its container."""

from __future__ import annotations

import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def usable_processors() -> int:
    """Return how many processors this process may use, at least 1.

    The host may have many more: a container of Docker, Kubernetes or Slurm has a quota, a share of
    the time of so many processors, and threads beyond it only wait for each other.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, int(min(count, quota())))


def quota(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> float:
    """Return the processors of which a control group may use the time; infinite without a limit.

    The limit of each group above it holds, too. Inside a container, its own group is the root.

    Args:
        groups: where the system shows control groups, of version 1 or 2.
        own: file that names those of this process.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return float("inf")
    found = [float("inf")]
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            root = groups / "cpu" if controllers else groups
            group = root / name.lstrip("/")
            found += [_limit(each) for each in (group, *group.parents) if each.is_relative_to(root)]
    return min(found)


def _limit(group: Path) -> float:
    """Return the limit of one group: `cpu.max` in version 2, two files in version 1."""
    try:
        if (both := group / "cpu.max").exists():
            time_us, period_us = both.read_text().split()
        else:
            time_us, period_us = (
                (group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        limit = int(time_us) / int(period_us)
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no such controller
        return float("inf")
    return limit if limit > 0 else float("inf")  # version 1 says -1 without a limit
