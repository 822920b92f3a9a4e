"""A node under load: its memory over many series, and a destination that is down for a while.

    PYTHONPATH=. python benchmarks/node.py [--series 100] [--slices 20] [--outage 60]

Runs `rat serve` in a process of its own, sends series of 32 x 32 pixels to it, and takes the
results. Prints the memory of the node and of its child processes after some of the series. Then the
destination goes away, one more series is sent, and the destination comes back. Linux only.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.node.node_runs import Archive, ct_series, listening, send, wait_until, write_config

LONGEST_S = 900.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


def memory_mb(process: psutil.Process) -> float:
    """Return the resident memory of a process and of all that it started."""
    family = [process, *process.children(recursive=True)]
    return sum(each.memory_info().rss for each in family) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--slices", type=int, default=20)
    parser.add_argument("--outage", type=float, default=60, help="in seconds")
    arguments = parser.parse_args()
    port, archive = free_port(), Archive(port=free_port())
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), archive.port, f"# port\nport = {port}\n")
        config.write_text(config.read_text().replace("port = 0\n", "", 1))
        words = [sys.executable, "-m", "ratcli", "serve", "--config", str(config)]
        node = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        try:
            process = psutil.Process(node.pid)
            wait_until(lambda: _answers(port), LONGEST_S)
            with listening(archive):
                for number in range(1, arguments.series + 1):
                    send(port, ct_series(str(number), arguments.slices))
                    wait_until(lambda n=number: len(archive.images) == n * arguments.slices, 120)
                    if number in {1, 10, 25, 50, 75, 100, arguments.series}:
                        print(f"{number:4} series  {memory_mb(process):7.1f} MB", flush=True)
            expected = len(archive.images) + arguments.slices
            send(port, ct_series("while it is down", arguments.slices))
            time.sleep(arguments.outage)
            began = time.monotonic()
            with listening(archive):
                wait_until(lambda: len(archive.images) == expected, LONGEST_S)
            waited = time.monotonic() - began
            print(f"down for {arguments.outage:g} s; all there {waited:.0f} s after it was back")
            print(f"objects {len(archive.images)}, stores {len(archive.got)}")
        finally:
            node.terminate()
            node.wait()


def _answers(port: int) -> bool:
    with socket.socket() as own:
        return own.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
