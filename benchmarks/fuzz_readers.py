"""Read broken copies of small valid files: no crash, no hang, at most 1 GB of memory.

    python benchmarks/fuzz_readers.py --minutes 10 [--seed 0] [--corpus ../shared/data/formats]

The script makes seed files, one for each format, layout and codec; `--corpus` adds the small files
of a folder. A case is a seed file in which bytes are changed, removed, doubled or cut off. It must
be read, or refused with a RatError, within 20 seconds. Cases run in a process that is replaced if
it dies. Files that failed are kept in `--keep`, with the number of the case.
"""

from __future__ import annotations

import argparse
import gzip
import json
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import pydicom
import tifffile
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

LIMIT_BYTES = 1 << 30
LIMIT_SECONDS = 20.0
LARGEST_SEED = 200_000
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 40000)

_CHILD = r"""
import json, logging, resource, sys, warnings
from pathlib import Path
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
from ratcli.errors import RatError
from ratcli.formats import open_scan

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

def attempt(path):
    try:
        with open_scan(path) as scan:
            for plane in sorted({0, scan.info.planes - 1}):
                scan.read(plane)
                scan.padding(plane)
        return "read"
    except RatError as error:
        if "crashed the decoder" in str(error):  # in its own process: the reader goes on
            return "refused after a crash of the decoder"
        return "refused" if str(error) else "crashed: an error without a sentence"
    except BaseException as error:
        return f"crashed: {type(error).__module__}.{type(error).__name__}: {str(error)[:200]}"

import nibabel, tifffile, imagecodecs, pydicom
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
print("ready", flush=True)
for line in sys.stdin:
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    outcome = attempt(Path(line.rstrip("\n")))
    print(json.dumps([outcome, peak()]), flush=True)
"""


@dataclass(frozen=True)
class Seed:
    """A valid file: its name tells its format."""

    name: str
    content: bytes


class Child:
    """The process that reads; replaced when it died or hung."""

    def __init__(self) -> None:
        self._process = self._start()

    def attempt(self, path: Path) -> tuple[str, int]:
        """Read a file; return what came of it and the most bytes resident."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n".encode())
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], LIMIT_SECONDS)
        line = self._process.stdout.readline() if ready else b""
        if line:
            outcome, peak_bytes = json.loads(line)
            too_much = peak_bytes > LIMIT_BYTES
            return ("too much memory" if too_much else outcome), peak_bytes
        self._process.kill()
        code = self._process.wait()
        self._process = self._start()
        return ("hung" if not ready else f"died with {code}"), 0

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        process.stdout.readline()  # its imports do not count as a hang
        return process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, help="folder with small files to begin from, too")
    parser.add_argument("--only", default="", help="part of the names of the seeds to take")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir(), "fuzz-failures"))
    options = parser.parse_args()
    seeds = [*made_seeds(), *(corpus_seeds(options.corpus) if options.corpus else ())]
    seeds = [seed for seed in seeds if options.only in seed.name]
    sys.exit(fuzz(seeds, options.minutes * 60, options.seed, options.keep))


def fuzz(seeds: list[Seed], seconds: float, first: int, keep: Path) -> int:
    """Run cases until the time is over; return 1 if one failed."""
    outcomes: Counter[tuple[str, str]] = Counter()
    failures: list[str] = []
    child, most, end, case = Child(), 0, time.monotonic() + seconds, first
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            seed, content = make_case(seeds, case)
            path = Path(folder, seed.name)
            path.write_bytes(content)
            outcome, peak_bytes = child.attempt(path)
            most = max(most, peak_bytes)
            suffix = seed.name.rpartition(".")[2] if "." in seed.name else "none"
            outcomes[suffix, outcome.split(":")[0]] += 1
            if outcome != "read" and not outcome.startswith("refused"):
                failures.append(f"case {case}, {seed.name}: {outcome}")
                print(failures[-1], file=sys.stderr)
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{case}_{seed.name}").write_bytes(content)
            path.unlink()
            case += 1
    child.close()
    for (suffix, outcome), count in sorted(outcomes.items()):
        print(f"{suffix:8}{outcome:40}{count:8}")
    print(f"{case - first} cases, {len(failures)} failures, at most {most / 1e6:.0f} MB")
    return int(bool(failures))


def make_case(seeds: list[Seed], case: int) -> tuple[Seed, bytes]:
    """Return a seed and a broken copy of it, the same for the same number."""
    rng = np.random.default_rng(case)
    seed = seeds[int(rng.integers(len(seeds)))]
    if seed.name.endswith(".gz") and rng.random() < 0.7:
        broken = break_bytes(gzip.decompress(seed.content), rng)
        return seed, gzip.compress(broken, 1)
    return seed, break_bytes(seed.content, rng)


def break_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Change some bytes; most of the changes near the beginning or the end, where headers are."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        where = pick_place(len(data), rng)
        length = int(2 ** rng.uniform(0, 8))
        action = rng.integers(7)
        if action <= 1:
            data[where : where + 1] = rng.integers(0, 256, 1, np.uint8).tobytes()
        elif action <= 3:
            order, size = rng.choice(["<", ">"]), int(rng.integers(3))
            value = int(rng.choice(INTERESTING)) & ((1 << (8 << size)) - 1)
            packed = struct.pack(f"{order}{'BHI'[size]}", value)
            data[where : where + len(packed)] = packed
        elif action == 4:
            del data[where : where + length]
        elif action == 5:
            data[where:where] = data[where : where + length]
        elif rng.random() < 0.3:
            del data[where:]
    return bytes(data)


def pick_place(length: int, rng: np.random.Generator) -> int:
    """Return a position: in the first or last kilobyte, or anywhere."""
    if length < 2:
        return 0
    near = min(length, 1024)
    kind = rng.integers(3)
    if kind == 0:
        return int(rng.integers(near))
    return length - 1 - int(rng.integers(near)) if kind == 1 else int(rng.integers(length))


def made_seeds() -> Iterator[Seed]:
    """Make small valid files of every format."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_nifti(folder)
        save_tiff(folder)
        save_dicom(folder)
        for path in sorted(folder.iterdir()):
            yield Seed(path.name, path.read_bytes())


def corpus_seeds(folder: Path) -> Iterator[Seed]:
    """Take the small files of a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size <= LARGEST_SEED:
            yield Seed(path.name, path.read_bytes())


def save_nifti(folder: Path) -> None:
    volume = np.arange(8 * 7 * 5).reshape(8, 7, 5)
    for dtype in (np.uint8, np.int16, np.float32):
        for kind, name in ((nib.Nifti1Image, "one"), (nib.Nifti2Image, "two")):
            image = kind(volume.astype(dtype), np.diag([2, 2, 3, 1]))
            image.header.set_slope_inter(*((2, -10) if dtype == np.int16 else (1, 0)))
            comment = nib.nifti1.Nifti1Extension("comment", b"a comment")
            image.header.extensions.append(comment)
            for suffix in (".nii", ".nii.gz"):
                nib.save(image, folder / f"{name}_{np.dtype(dtype)}{suffix}")


def save_tiff(folder: Path) -> None:
    image = (np.arange(48 * 40 * 3).reshape(48, 40, 3) % 251).astype(np.uint8)
    codecs = ("lzw", "zlib", "packbits", "zstd", "lzma", "jpeg", "jpeg2000")
    for codec in (None, *codecs):
        for tile in (None, (16, 32)):
            name = f"{codec}_{'tiles' if tile else 'strips'}.tif"
            tifffile.imwrite(folder / name, image, compression=codec, tile=tile, photometric="rgb")
    gray = image[..., 0]
    for dtype in (np.uint16, np.float32):
        tifffile.imwrite(folder / f"gray_{np.dtype(dtype)}.tif", gray.astype(dtype))
    predicted = {"compression": "zlib", "predictor": True}
    tifffile.imwrite(folder / "predictor.tif", gray.astype(np.uint16), **predicted)
    tifffile.imwrite(folder / "float_predictor.tif", gray.astype(np.float32), **predicted)
    tifffile.imwrite(folder / "big.tif", gray, bigtiff=True, byteorder=">")
    tifffile.imwrite(folder / "planar.tif", np.moveaxis(image, -1, 0), planarconfig="separate")
    colormap = np.arange(768, dtype=np.uint16).reshape(3, 256) * 80
    tifffile.imwrite(folder / "palette.tif", gray, photometric="palette", colormap=colormap)
    stack = np.stack([gray, gray])
    tifffile.imwrite(folder / "stack.ome.tif", stack, ome=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "stack_imagej.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    head = "Aperio Image Library v1 \r\n40x48 [0,0 40x48] (16x16)|AppMag = 20|MPP = 0.5"
    with tifffile.TiffWriter(folder / "slide.svs") as file:
        options = {"photometric": "rgb", "metadata": None, "description": head}
        file.write(image, tile=(16, 16), **options)
        file.write(image[::2, ::2], **options)


def save_dicom(folder: Path) -> None:
    from pydicom.data import get_testdata_file

    source = get_testdata_file("CT_small.dcm", download=False)
    enhanced = get_testdata_file("emri_small.dcm", download=False)
    for path, name in ((source, "ct"), (enhanced, "enhanced")):
        if path is None:
            continue
        dataset = pydicom.dcmread(path)
        dataset.save_as(folder / f"{name}_plain.dcm")
        for syntax in (RLELossless, JPEGLSLossless):
            packed = pydicom.dcmread(path)
            packed.compress(syntax, generate_instance_uid=False)
            packed.save_as(folder / f"{name}_{syntax[-2:]}.dcm")
        frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        encoded = [imagecodecs.jpeg2k_encode(frame, codecformat="j2k") for frame in frames]
        dataset.PixelData = encapsulate(encoded)
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset.save_as(folder / f"{name}_90.dcm")


if __name__ == "__main__":
    main()
