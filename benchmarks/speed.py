"""Speed and memory of the network against the published dense formulation, in one run.

    python benchmarks/speed.py [--sizes 128 256 512] [--networks compact full] [--threads 2]
    python benchmarks/speed.py --profile [--sizes 512] [--threads 1]

Variants take turns, so that other work on the machine slows all of them equally; each figure is the
lowest of its repeats. Memory is the peak resident size of a process that runs the network, minus
that of a process that only loads it. Rates count the multiplications and additions of the region
formulation exactly. Prints a table and writes JSON to `benchmarks/results/`. `--profile` shows
where the time goes instead; with one thread it measures processor time, which other work hardly
raises.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import stages
import torch
import torch.nn.functional as F
from dense import DenseRAT
from torch import Tensor

from ratcli.network.device import keep_freed_memory
from ratcli.network.inference import InferenceRAT
from ratcli.network.plan import make_plan
from ratcli.network.rat import RAT, NetworkSettings

NETWORKS = {
    "compact": NetworkSettings(
        width=32, encoder_blocks=(1, 2), decoder_blocks=(2, 1), groups=(3, 3), heads=4
    ),
    "full": NetworkSettings(),
}
SAM_MAP = Path(__file__).resolve().parents[2] / "shared/data/reference/ct_slice_with_sam_labels.npz"
# The dense form of a whole 512 slice holds N x N logits: 1 GB a head.
DENSE_UP_TO = {"compact": 256, "full": 256}


def build(name: str) -> RAT:
    """Make a network of random parameters whose gates are open."""
    torch.manual_seed(0)
    network = RAT(NETWORKS[name])
    for key, value in network.named_parameters():
        if key.endswith(("beta", "gamma", "gate")):
            torch.nn.init.normal_(value, 0, 0.1)
    return network.eval()


def partition(size: int, regions: int) -> Tensor:
    """Return `(1, size, size)` labels: the real map of 39 regions, or blobs of equal share."""
    if regions == 39 and SAM_MAP.is_file():
        labels = torch.from_numpy(np.load(SAM_MAP)["labels"].astype(np.int64))[None]
        start = (512 - size) // 2 if size < 512 else 0
        if size <= 512:
            return labels[:, start : start + size, start : start + size]
        factor = size // 512
        return labels.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    generator = torch.Generator().manual_seed(regions)
    seeds = torch.rand(regions, 2, generator=generator) * size
    grid = torch.arange(0, size, 4, dtype=torch.float32) + 2
    points = torch.cartesian_prod(grid, grid)
    nearest = torch.cdist(points, seeds).argmin(1).view(1, size // 4, size // 4)
    return nearest.repeat_interleave(4, 1).repeat_interleave(4, 2)


def region_gflop(settings: NetworkSettings, size: int, pairs: int) -> float:
    """Count the arithmetic of one plane, two operations a multiplication and addition."""
    total, width = 0.0, settings.width
    pixels = float(size * size)
    total += 2 * 2 * 9 * settings.channels * width * pixels
    for blocks in (settings.encoder_blocks, settings.decoder_blocks[::-1]):
        for level, count in enumerate(blocks):
            c, n = width * 2**level, pixels / 4**level
            total += count * n * (2 * (2 * c * c + c * c + 2 * c * c + c * c) + 2 * 9 * 2 * c)
    for level in range(len(settings.encoder_blocks)):
        c, n = width * 2**level, pixels / 4**level
        total += 2 * (4 * c * 2 * c) * n / 4 + 2 * (2 * c * 4 * c) * n / 4
    c, n = width * settings.stride, pixels / settings.stride**2
    layers = sum(settings.groups)
    linear = 2 * (4 * c * c) * 2 + 2 * 2 * (2 * settings.mlp_ratio * c * c)
    total += layers * (n * linear + 4 * c * pairs + 4 * c * settings.window**2 * n)
    total += len(settings.groups) * 2 * 9 * c * c * n
    return total / 1e9


def peak_rates(clock: Callable[[], float] = time.perf_counter) -> dict[str, float]:
    """Measure the machine's own large matrix product and 3x3 convolution, in GFLOP/s."""
    a, b = torch.randn(4096, 2048), torch.randn(2048, 2048)
    product = least(lambda: a @ b, 5, clock)
    x = torch.randn(1, 64, 512, 512).to(memory_format=torch.channels_last)
    w = torch.randn(64, 64, 3, 3).to(memory_format=torch.channels_last)
    convolution = least(lambda: F.conv2d(x, w, padding=1), 5, clock)
    return {
        "matrix product": 2 * 4096 * 2048 * 2048 / product / 1e9,
        "3x3 convolution": 2 * 64 * 64 * 9 * 512 * 512 / convolution / 1e9,
    }


def least(function: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    """Return the least seconds of some calls, after one that warms up."""
    function()
    return min(once(function, clock) for _ in range(repeats))


def once(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of one call."""
    began = clock()
    function()
    return clock() - began


def variants(name: str, size: int, labels: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Return the ways to restore one plane."""
    network = build(name)
    image = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(1))
    folded = InferenceRAT(network)
    ways: dict[str, Callable[[], Tensor]] = {"rat": lambda: folded(image, labels)}
    ways["rat, as it learns"] = lambda: network(image, labels)
    by_head = DenseRAT(network, heads_at_once=False)
    ways["dense, head by head"] = lambda: by_head(image, labels)
    if size <= DENSE_UP_TO[name]:
        at_once = DenseRAT(network, heads_at_once=True)
        ways["dense, as published"] = lambda: at_once(image, labels)
    return ways


def added_memory_gb(arguments: argparse.Namespace, name: str, size: int, way: str) -> float:
    """Return the peak resident memory of one run in a process of its own, less loading."""
    peaks = []
    for what in (way, ""):
        words = ["--child", name, str(size), what, "--threads", str(arguments.threads)]
        words += ["--allocator", arguments.allocator]
        done = subprocess.run(
            [sys.executable, __file__, *words], check=True, capture_output=True, text=True
        )
        peaks.append(float(done.stdout))
    return (peaks[0] - peaks[1]) / 1e6


def child(name: str, size: int, way: str) -> None:
    """Run one variant once and print the peak resident memory in kB."""
    ways = variants(name, size, partition(size, 39))
    with torch.inference_mode():
        if way:
            ways[way]()
    # Not getrusage: its peak starts at that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def measure(arguments: argparse.Namespace, name: str, size: int, peak: float) -> list[dict]:
    """Return a row for each partition and variant, taking turns."""
    rows = []
    for regions in arguments.regions:
        labels = partition(size, regions)
        pairs = make_plan(labels[:, ::4, ::4], 4).pairs
        gflop = region_gflop(NETWORKS[name], size, pairs)
        ways = variants(name, size, labels)
        if regions != 39:
            ways = {"rat": ways["rat"]}
        with torch.inference_mode():
            reference = {way: run() for way, run in ways.items()}
            times: dict[str, float] = dict.fromkeys(ways, float("inf"))
            for _ in range(arguments.repeats if size < 512 else 2):
                for way, run in ways.items():
                    times[way] = min(times[way], once(run))
        for way, seconds in times.items():
            difference = float((reference[way] - reference["rat"]).abs().max())
            memory = added_memory_gb(arguments, name, size, way) if regions == 39 else float("nan")
            rows.append(
                {
                    "network": name, "size": size, "regions": regions, "way": way,
                    "seconds": seconds, "times": seconds / times["rat"], "gflop": gflop,
                    "gflops": gflop / seconds, "of_product": gflop / seconds / peak,
                    "added_gb": memory, "difference": difference,
                }
            )  # fmt: skip
            show(rows[-1])
    return rows


def compare(arguments: argparse.Namespace, peak: float) -> list[dict]:
    """Print and return the rows of every network and size."""
    print(
        f"{'network':8} {'size':>5} {'regions':>7} {'way':21} {'seconds':>8} {'slices/s':>8} "
        f"{'times':>6} {'GFLOP':>8} {'GFLOP/s':>8} {'of mm':>6} {'add. GB':>7} {'max diff':>9}"
    )
    return [
        row
        for name, size in itertools.product(arguments.networks, arguments.sizes)
        for row in measure(arguments, name, size, peak)
    ]


def show(row: dict) -> None:
    """Print one row."""
    print(
        f"{row['network']:8} {row['size']:5} {row['regions']:7} {row['way']:21} "
        f"{row['seconds']:8.3f} {1 / row['seconds']:8.2f} {row['times']:6.1f} {row['gflop']:8.0f} "
        f"{row['gflops']:8.0f} {row['of_product']:6.2f} {row['added_gb']:7.2f} "
        f"{row['difference']:9.1e}",
        flush=True,
    )


def profile(arguments: argparse.Namespace, peak: float) -> list[dict]:
    """Print what each part of a network takes, at 39 regions; return a row for each."""
    rows = []
    for name, size in itertools.product(arguments.networks, arguments.sizes):
        run = variants(name, size, partition(size, 39))["rat"]
        parts, seconds = stages.measure(run, arguments.threads, arguments.repeats)
        gflop = sum(parts.gflop.values())
        print(f"\n{name}, {size} x {size}, 39 regions, {arguments.threads} threads")
        print(f"{'part':44} {'ms':>8} {'share':>6} {'GFLOP':>7} {'GFLOP/s':>8} {'of mm':>6}")
        whole = {"all": (seconds, gflop)}
        each = {part: (parts.seconds[part], parts.gflop[part]) for part in parts.seconds}
        for part, (spent, done) in (sorted(each.items(), key=lambda row: -row[1][0])) + list(
            whole.items()
        ):
            rate = done / spent if spent else 0.0
            print(
                f"{part:44} {1e3 * spent:8.1f} {spent / seconds:6.1%} {done:7.1f} {rate:8.0f} "
                f"{rate / peak:6.2f}",
                flush=True,
            )
            rows.append(
                {
                    "network": name, "size": size, "part": part, "seconds": spent,
                    "gflop": done, "of_product": rate / peak,
                }
            )  # fmt: skip
    return rows


def machine() -> dict[str, str]:
    """Describe where the figures come from."""
    model = "unknown"
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--networks", nargs="+", default=["compact", "full"], choices=NETWORKS)
    parser.add_argument("--regions", type=int, nargs="+", default=[1, 8, 39, 200, 1000])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--allocator", choices=["keep", "default"], default="keep")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.allocator == "keep":
        keep_freed_memory()
    if arguments.child:
        name, size, way = arguments.child
        child(name, int(size), way)
        return
    # A busy machine raises the time on the wall, and hardly that of one thread on the processor.
    alone = arguments.profile and arguments.threads == 1
    about, peaks = machine(), peak_rates(time.thread_time if alone else time.perf_counter)
    print(about, {name: round(rate) for name, rate in peaks.items()}, "GFLOP/s")
    print(f"threads {arguments.threads}, freed memory: {arguments.allocator}, float32")
    rows = (profile if arguments.profile else compare)(arguments, peaks["matrix product"])
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        facts = {"machine": about, "threads": arguments.threads, "peaks": peaks, "rows": rows}
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
