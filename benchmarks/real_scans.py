"""Restore real scans as a user would, and check the results with validators.

    python benchmarks/real_scans.py --data DIR [--json FILE]

Each row is one call of `rat restore`. `dciodvfy` counts error lines that the input did not have;
`dcmdump` and `dcm2niix` must read every file. Noise is the most frequent local standard deviation
in soft tissue before and after; HU shift is the mean change there. Padding and values outside the
task's window must be identical.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ratcli.errors import MeasurementError
from ratcli.formats import find_scans, open_scan
from ratcli.physics.local_noise import typical_noise
from ratcli.tasks import get_task

SOFT_HU = (-160.0, 240.0)
SCANS = {
    "JPEG 2000 lossless series": "ct/totalsegmentator_example",
    "series, padding -2000": "ct/crlm_ct_1004",
    "big endian": "ct/singles/ami_head_bigendian_ser002img00001-16-signed.dcm",
    "implicit VR, no preamble": "ct/singles/sloan_prostate_1998_prostate.img.dcm",
    "JPEG 2000 lossless, VR UN": "ct/singles/pancreas_0001_explicit_VR-UN.dcm",
    "unsigned 12 bit series": "ct/lidc_idri_0314",
    "implicit VR, one slice": "ct/singles/cornerstone_chest_CTImage.dcm",
    "water phantom": "ct/singles/rtutils_water_phantom_ct_1.dcm",
    "NIfTI, float": "ct/sts_nifti/STS_002_CT.nii.gz",
}


def files_of(path: Path) -> list[Path]:
    """Return the files of a scan, in the order of their names."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def error_lines(file: Path) -> set[str]:
    """Return the errors that dciodvfy finds."""
    done = subprocess.run(["dciodvfy", file], capture_output=True, text=True, errors="replace")
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}


def judge_dicom(before: Sequence[Path], after: Sequence[Path]) -> str:
    """Return what the validators say of the restored files."""
    new = sum(
        len(error_lines(out) - error_lines(into)) for into, out in zip(before, after, strict=True)
    )
    dumped = all(
        subprocess.run(["dcmdump", out], capture_output=True).returncode == 0 for out in after
    )
    with tempfile.TemporaryDirectory() as folder:
        single = len(after) == 1
        words = ["dcm2niix", *(["-s", "y"] if single else []), "-o", folder, "-f", "n", "-z", "n"]
        target = after[0] if single else after[0].parent
        converted = subprocess.run([*words, target], capture_output=True).returncode == 0
    return f"dciodvfy {new} new, dcmdump {dumped}, dcm2niix {converted}"


def judge_nifti(file: Path) -> str:
    """Return what nifti_tool says."""
    done = subprocess.run(
        ["nifti_tool", "-check_hdr", "-infiles", file], capture_output=True, text=True
    )
    return "nifti_tool " + (
        "good" if "GOOD" in done.stdout and "FAIL" not in done.stdout else "BAD"
    )


def compare(before: Path, after: Path) -> dict[str, float | bool]:
    """Return noise before and after, shift, and whether what must not change did not."""
    task = get_task("ct-denoise")
    noises, shifts, kept = [], [], True
    with (
        open_scan(find_scans(before)[0], assume_unit="HU") as reader,
        open_scan(find_scans(after)[0], assume_unit="HU") as restored,
    ):
        for plane in range(reader.info.planes):
            x, y = reader.read(plane)[0], restored.read(plane)[0]
            still = reader.padding(plane) | task.outside(x)
            kept &= bool(np.array_equal(x[still], y[still], equal_nan=True))
            soft = (x > SOFT_HU[0]) & (x < SOFT_HU[1])
            shifts.append(float((y - x)[soft].mean()))
            try:
                noises.append((typical_noise(x, SOFT_HU), typical_noise(y, SOFT_HU)))
            except MeasurementError:
                continue
    means = np.mean(noises, axis=0) if noises else (np.nan, np.nan)
    return {
        "planes": reader.info.planes, "noise_before_hu": float(means[0]),
        "noise_after_hu": float(means[1]), "shift_hu": float(np.mean(shifts)), "kept": kept,
    }  # fmt: skip


def restore(scan: Path, out: Path) -> tuple[int, float, Path]:
    """Call `rat restore` and return its exit code, seconds, and what it wrote."""
    rat = Path(sys.executable).with_name("rat")
    began = time.perf_counter()
    words = [
        rat,
        "restore",
        scan,
        "--task",
        "ct-denoise",
        "-o",
        out,
        "-q",
        "--unit",
        "HU",
        "--json",
    ]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    output = json.loads(done.stdout.splitlines()[0])["output"] if done.stdout else str(out)
    return done.returncode, time.perf_counter() - began, Path(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if missing := [tool for tool in ("dciodvfy", "dcmdump", "dcm2niix") if not shutil.which(tool)]:
        sys.exit(f"not installed: {', '.join(missing)}")
    print(
        f"{'scan':27} {'rc':>2} {'planes':>6} {'s':>6} {'noise HU':>13} {'shift HU':>8} "
        f"{'kept':>5}  validators"
    )
    rows = []
    for name, path in SCANS.items():
        before = arguments.data / path
        with tempfile.TemporaryDirectory() as folder:
            suffix = "".join(before.suffixes[-2:]) if path.endswith(".gz") else ".dcm"
            wanted = Path(folder) / ("series" if before.is_dir() else f"scan{suffix}")
            code, seconds, after = restore(before, wanted)
            row = {"scan": name, "rc": code, "seconds": seconds, **compare(before, after)}
            is_dicom = suffix == ".dcm"
            row["validators"] = (
                judge_dicom(files_of(before), files_of(after)) if is_dicom else judge_nifti(after)
            )
        rows.append(row)
        print(
            f"{name:27} {code:2} {row['planes']:6} {seconds:6.1f} "
            f"{row['noise_before_hu']:5.1f} ->{row['noise_after_hu']:5.1f} "
            f"{row['shift_hu']:8.2f} {row['kept']!s:>5}  {row['validators']}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
