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
from ratcli.scan import Box

def peak():
    # VmHWM, not ru_maxrss: that one counts the parent as it was before exec.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

path, box = Path(sys.argv[1]), json.loads(sys.argv[2])
try:
    with open_scan(path) as scan:
        scan.read(scan.info.planes - 1, Box(*box) if box else None)
    outcome = "read"
except RatError as error:
    outcome = f"{type(error).__name__}: {error}"
print(json.dumps([outcome, peak()]))
"""


class Opened(NamedTuple):
    """What a process reported: `read` or the error, and the most bytes it had resident."""

    outcome: str
    peak_bytes: int


def open_in_child(path: Path, box: tuple[int, int, int, int] | None = None) -> Opened:
    """Read the last plane of a scan, or a box of it, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path), json.dumps(box)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Opened(*json.loads(done.stdout.splitlines()[-1]))
