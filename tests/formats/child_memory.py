"""Open a file in a process of its own and tell what came of it and how much memory it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_CHILD = """
import json, sys
from pathlib import Path
from ratcli.errors import RatError
from ratcli.formats import open_scan

def peak():
    # VmHWM, not ru_maxrss: that one counts the parent as it was before exec.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

outcomes = []
for path in map(Path, sys.argv[1:]):
    try:
        with open_scan(path) as scan:
            scan.read(scan.info.planes - 1)
        outcomes.append("read")
    except RatError as error:
        outcomes.append(f"{type(error).__name__}: {error}")
print(json.dumps([outcomes, peak()]))
"""


class Opened(NamedTuple):
    """What a process reported: for each file `read` or the error, and its most resident bytes."""

    outcomes: list[str]
    peak_bytes: int

    @property
    def outcome(self) -> str:
        """What came of the only file."""
        (outcome,) = self.outcomes
        return outcome


def open_in_child(*paths: Path) -> Opened:
    """Read the last plane of each scan in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Opened(*json.loads(done.stdout.splitlines()[-1]))
