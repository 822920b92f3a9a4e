"""How much time a batch takes in addition to the network, and whether its memory grows.

    python benchmarks/batch.py [--slices 100] [--size 256] [--device cpu] [--json FILE]

Time: a folder of single slices with partitions in a cache; the time in the network divided by the
time of the batch, in the same run. Memory: one series; resident size after slice 50 and after the
last slice.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from ratcli.batch.outcome import Outcome
from ratcli.commands.restore import restoration
from ratcli.commands.restore_options import RestoreOptions
from ratcli.commands.segment import find_regions

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "ct_phantom.dcm"


def write_slices(folder: Path, count: int, size: int, *, one_series: bool) -> Path:
    """Write copies of the example, tiled or cut to `size`, each its own object."""
    folder.mkdir()
    image = pydicom.dcmread(EXAMPLE)
    stored = np.tile(image.pixel_array, (size // 256 + 1,) * 2)[:size, :size]
    image.Rows = image.Columns = size
    for number in range(count):
        image.PixelData = np.roll(stored, number, 1).tobytes()
        image.SOPInstanceUID = generate_uid(entropy_srcs=[folder.name, str(number)])
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        if not one_series:
            image.SeriesInstanceUID = image.SOPInstanceUID
        image.InstanceNumber = number + 1
        image.ImagePositionPatient = [0, 0, 3.0 * number]
        image.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)
    return folder


def resident_mb() -> float:
    """Return the resident size of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Watch:
    """A listener that measures."""

    def __init__(self, on_plane: Callable[[int], None] | None = None) -> None:
        self.outcomes: list[Outcome] = []
        self.first = 0.0
        self._on_plane = on_plane

    def check(self) -> None:
        return None

    def planes(self, name: str, done: int, total: int) -> None:
        self.first = self.first or time.perf_counter()
        if self._on_plane is not None:
            self._on_plane(done)

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def run(source: Path, out: Path, device: str, watch: Watch, cache: Path | None = None) -> None:
    options = RestoreOptions(task="ct-denoise", device=device, output=out, cache=cache)
    batch, work = restoration([source], options)
    batch.run(work, watch)
    failed = [outcome.error for outcome in watch.outcomes if outcome.status != "done"]
    if failed:
        sys.exit(failed[0])


def throughput(work: Path, count: int, size: int, device: str) -> dict[str, float]:
    """Time a folder of slices from the first finished one on: loading is told apart."""
    watch, cache = Watch(), work / "cache"
    folder = write_slices(work / "files", count, size, one_series=False)
    for file in folder.iterdir():
        find_regions(file, task="ct-denoise", cache=cache)
    run(folder, work / "out", device, watch, cache)
    wall = time.perf_counter() - watch.first
    later = [outcome.facts for outcome in watch.outcomes[1:]]
    network = sum(float(facts["network_seconds"]) for facts in later)
    partition = sum(float(facts["partition_seconds"]) for facts in later)
    return {
        "slices": count,
        "size": size,
        "seconds_per_slice": wall / len(later),
        "network_share": network / wall,
        "partition_share": partition / wall,
        "network_and_partition_share": (network + partition) / wall,
    }


def memory(work: Path, count: int, size: int, device: str) -> dict[str, float]:
    """Measure the resident size over one long series."""
    seen: dict[int, float] = {}

    def note(done: int) -> None:
        if done in (50, count):
            seen[done] = resident_mb()

    series = write_slices(work / "series", count, size, one_series=True)
    run(series, work / "out_series", device, Watch(note))
    return {
        "slices": count,
        "size": size,
        "mb_at_50": seen[50],
        "mb_at_end": seen[count],
        "growth": seen[count] / seen[50] - 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--memory-size", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {
            "throughput": throughput(Path(folder), asked.slices, asked.size, asked.device),
            "memory": memory(Path(folder), asked.series, asked.memory_size, asked.device),
        }
    for name, figures in results.items():
        print(name)
        for figure, value in figures.items():
            print(f"  {figure:28} {value:.4g}")
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
