"""Memory and time to enlarge a whole slide four times: from 20000 x 20000 to 80000 x 80000.

The network is a stand-in that only repeats pixels, so that reader and writer are measured:

    python benchmarks/slides.py --size 20000 --folder /tmp
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from ratcli.formats import create_scan, open_scan
from ratcli.scan import Box, Derivation, FloatArray

SCALE = 4
INPUT_TILE = 240
STEP = 512
DERIVATION = Derivation("pathology-x4", "every pixel repeated", "x4", "resample", scale=SCALE)


def tiles(size: int, tile: int) -> Iterator[np.ndarray]:
    """Yield tiles of a synthetic tissue: waves of colour with the grain of a camera."""
    rng = np.random.default_rng(0)
    for top in range(0, size, tile):
        for left in range(0, size, tile):
            rows, columns = np.mgrid[top : top + tile, left : left + tile]
            base = 180 + 40 * np.sin(rows / 37) * np.cos(columns / 53)
            grain = rng.normal(0, 3, (tile, tile, 1))
            yield np.clip(base[..., None] + grain + (20, -30, 10), 0, 255).astype(np.uint8)


def make_slide(path: Path, size: int) -> None:
    """Write a slide as an Aperio scanner does."""
    head = f"Aperio Image Library v11.2.1 \r\n{size}x{size} [0,0 {size}x{size}] (240x240)"
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            tiles(size, INPUT_TILE),
            shape=(size, size, 3),
            dtype=np.uint8,
            tile=(INPUT_TILE, INPUT_TILE),
            photometric="rgb",
            compression="jpeg",
            description=head + " JPEG/RGB Q=75|AppMag = 20|MPP = 0.5000",
            metadata=None,
        )


def enlarge(values: FloatArray) -> FloatArray:
    """Enlarge `(C, H, W)`, every pixel repeated."""
    return values.repeat(SCALE, axis=1).repeat(SCALE, axis=2)


def restore(source: Path, target: Path) -> float:
    """Enlarge a slide box by box; return seconds."""
    start = time.perf_counter()
    with open_scan(source) as reader, create_scan(reader, target, DERIVATION) as writer:
        for top in range(0, reader.info.height, STEP):
            for left in range(0, reader.info.width, STEP):
                height = min(STEP, reader.info.height - top)
                box = Box(top, left, height, min(STEP, reader.info.width - left))
                writer.write(0, enlarge(reader.read(0, box)), box.scaled(SCALE))
            done = (top + height) / reader.info.height
            print(f"\r{done:.0%}, {peak_bytes() / 1e6:.0f} MB", end="", file=sys.stderr)
    return time.perf_counter() - start


def peak_bytes() -> int:
    """Return the most bytes that this process had resident."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def opened_by(path: Path) -> dict[str, str]:
    """Tell what OpenSlide and vips see."""
    seen = {}
    if tool := shutil.which("openslide-show-properties"):
        told = subprocess.run([tool, path], capture_output=True, text=True, check=True).stdout
        for line in told.splitlines():
            name, _, value = line.partition(": ")
            if name in ("openslide.level-count", "openslide.mpp-x", "openslide.level[0].width"):
                seen[name] = value.strip("'")
    if tool := shutil.which("vipsheader"):
        told = subprocess.run([tool, path], capture_output=True, text=True, check=True).stdout
        seen["vips"] = told.strip().rpartition(": ")[2]
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=20000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source, target = Path(folder, "slide.svs"), Path(folder, "slide_x4.svs")
        make_slide(source, options.size)
        before = peak_bytes()
        seconds = restore(source, target)
        report = {
            "input": f"{options.size} x {options.size}",
            "output": f"{options.size * SCALE} x {options.size * SCALE}",
            "seconds": round(seconds),
            "peak_mb": round(peak_bytes() / 1e6),
            "peak_before_mb": round(before / 1e6),
            "input_mb": round(source.stat().st_size / 1e6),
            "output_mb": round(target.stat().st_size / 1e6),
            **opened_by(target),
        }
    for name, value in report.items():
        print(f"\r{name:26} {value}", file=sys.stderr)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
