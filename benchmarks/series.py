"""How long `rat restore` takes for a series, compared with its network and partition alone.

    python benchmarks/series.py [--slices 50] [--size 512] [--threads 2] [--partition NAME]

Runs the command as a user does, in its own process, on a series made from the example; start,
weights, reading and writing are included. Prints two figures of that run: the time of the series
divided by the time of its network and partition, and the seconds for each slice.

    taskset -c 0 python benchmarks/series.py --slices 5 --threads 1 --runs 3 --against OTHER

compares with another checkout, in turns. Processor time hardly depends on other work on the
machine; the smallest of the runs counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batch import write_slices

from ratcli.tasks import get_task

COMMAND = [sys.executable, "-c", "from ratcli.cli.app import main; main()", "restore"]
MOST_TIMES, MOST_SECONDS = 1.15, 5.0
HERE = Path(__file__).resolve().parents[1]


def measure(
    checkout: Path, source: Path, output: Path, arguments: argparse.Namespace
) -> dict[str, float]:
    """Restore one series by the code of a checkout, and return what it took."""
    words = [str(source), "-t", "ct-denoise", "-o", str(output), "--json"]
    words += ["--device", "cpu", "--threads", str(arguments.threads)]
    words += ["--partition", arguments.partition]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(
            [*COMMAND, *words], stdout=told, cwd=source.parent, env=environment
        ) as child,
    ):
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        if child.returncode:
            sys.exit(child.returncode)
        told.seek(0)
        facts = json.loads(told.read().splitlines()[-1])
    network, partition = float(facts["network_seconds"]), float(facts["partition_seconds"])
    return {
        "wall_seconds": wall,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gib": usage.ru_maxrss / 2**20,
        "network_seconds": network,
        "partition_seconds": partition,
        "seconds_per_slice": wall / arguments.slices,
        "times_network_and_partition": wall / (network + partition),
    }


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the run that took the least processor time."""
    return min(runs, key=lambda run: run["processor_seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=50)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--partition", default=get_task("ct-denoise").partition)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    checkouts = [HERE, *([arguments.against.resolve()] if arguments.against else [])]
    found: dict[Path, list[dict[str, float]]] = {checkout: [] for checkout in checkouts}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_slices(folder / "series", arguments.slices, arguments.size, one_series=True)
        for run in range(arguments.runs):
            for number, checkout in enumerate(checkouts):
                output = folder / f"out{run}_{number}"
                found[checkout].append(measure(checkout, source, output, arguments))
    figures = best(found[HERE])
    for key, value in figures.items():
        others = "".join(f"{best(found[other])[key]:10.3f}" for other in checkouts[1:])
        print(f"{key:28}{value:10.3f}{others}")
    print(
        f"at most {MOST_TIMES} times: {figures['times_network_and_partition'] <= MOST_TIMES}, "
        f"at most {MOST_SECONDS:g} s a slice: {figures['seconds_per_slice'] <= MOST_SECONDS}"
    )
    if arguments.json:
        about = {key: getattr(arguments, key) for key in ("slices", "size", "threads", "partition")}
        runs = {path.name: runs for path, runs in found.items()}
        arguments.json.write_text(json.dumps({**about, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
