"""Lets the validators of each format check a file, and compares their verdict with the source's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ratcli.formats import ScanSource

CHECKED_FILES = 3  # of a series, by a validator


def verdict(source: ScanSource, out: Path) -> str:
    """Return `good`, `bad` or `no tool` for a result; faults of the source do not count."""
    checks = {"dicom": dicom_faults, "nifti": nifti_faults, "tiff": tiff_faults}
    pairs = list(zip(source.paths, written_files(source, out), strict=False))[:CHECKED_FILES]
    try:
        faults = [checks[source.format](new) - checks[source.format](old) for old, new in pairs]
    except FileNotFoundError:
        return "no tool"
    return "bad" if any(faults) or not pairs else "good"


def written_files(source: ScanSource, out: Path) -> list[Path]:
    """List what was written, in the order of the source's files."""
    if not out.is_dir():
        return [out]
    return sorted(path for path in out.rglob("*") if path.is_file())


def run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a validator; raise FileNotFoundError if it is not installed."""
    path = shutil.which(tool, path="/usr/bin") or shutil.which(tool)
    if path is None:
        raise FileNotFoundError(tool)
    command = [path, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def dicom_faults(path: Path) -> set[str]:
    """Return dciodvfy's errors, without the values in them."""
    done = run("dciodvfy", path)
    lines = (done.stdout + done.stderr).splitlines()
    return {line.split("<")[0].strip() for line in lines if line.startswith("Error")}


def nifti_faults(path: Path) -> set[str]:
    """Return nifti_tool's verdict; it knows NIfTI-1 only."""
    done = run("nifti_tool", "-check_hdr", "-infiles", path)
    return set() if "GOOD" in done.stdout + done.stderr else {"header"}


def tiff_faults(path: Path) -> set[str]:
    """Return which of libtiff, vips and (for a slide) OpenSlide cannot open a file."""
    faults = {tool for tool in ("tiffinfo",) if run(tool, path).returncode}
    if run("vips", "avg", path).returncode:
        faults.add("vips")
    if path.suffix == ".svs" and run("openslide-show-properties", path).returncode:
        faults.add("openslide")
    return faults
