"""How long `rat restore` takes for a series, compared with its network and partition alone.

    python benchmarks/series.py [--slices 50] [--size 512] [--threads 2] [--partition NAME]

Runs the command as a user does, in its own process, on a series made from the example; start,
weights, reading and writing are included. Prints two figures of that run: the time of the series
divided by the time of its network and partition, and the seconds for each slice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batch import write_slices

from ratcli.tasks import get_task

COMMAND = [sys.executable, "-c", "from ratcli.cli.app import main; main()", "restore"]
MOST_TIMES, MOST_SECONDS = 1.15, 5.0


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, float | int | str]:
    """Restore one series and return what it took."""
    source = write_slices(folder / "series", arguments.slices, arguments.size, one_series=True)
    words = [str(source), "-t", "ct-denoise", "-o", str(folder / "out"), "--json"]
    words += ["--device", "cpu", "--threads", str(arguments.threads)]
    words += ["--partition", arguments.partition]
    began = time.perf_counter()
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stderr)
    facts = json.loads(done.stdout.splitlines()[-1])
    network, partition = float(facts["network_seconds"]), float(facts["partition_seconds"])
    return {
        "slices": arguments.slices,
        "size": arguments.size,
        "threads": arguments.threads,
        "partition": arguments.partition,
        "wall_seconds": wall,
        "network_seconds": network,
        "partition_seconds": partition,
        "seconds_per_slice": wall / arguments.slices,
        "times_network_and_partition": wall / (network + partition),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=50)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--partition", default=get_task("ct-denoise").partition)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments)
    for name, value in figures.items():
        print(f"{name:28} {value if isinstance(value, (int, str)) else f'{value:.3f}'}")
    print(
        f"at most {MOST_TIMES} times: {figures['times_network_and_partition'] <= MOST_TIMES}, "
        f"at most {MOST_SECONDS:g} s a slice: {figures['seconds_per_slice'] <= MOST_SECONDS}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
