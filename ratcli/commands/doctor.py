"""`rat doctor`: what this machine offers: libraries, codecs, devices, memory, weights."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys

from ratcli import __version__
from ratcli.errors import RatError
from ratcli.processors import usable_processors

# Distribution and what it is for; the first ones must be there, the others come with extras.
REQUIRED = {
    "torch": "the network",
    "numpy": "arrays",
    "scikit-image": "partitions, metrics",
    "pydicom": "DICOM",
    "nibabel": "NIfTI",
    "tifffile": "TIFF",
    "safetensors": "weights",
}
CODECS = {
    "imagecodecs": "JPEG, JPEG 2000, TIFF compression",
    "pyjpegls": "JPEG-LS",
}
EXTRAS = {
    "highdicom": "DICOM region maps",
    "segment-anything": "SAM partitions",
    "distributed": "Dask clusters (extra cluster)",
}


def doctor() -> dict[str, dict[str, str]]:
    """Return what this machine offers, by section; send it with a question."""
    return {
        "machine": _machine(),
        "libraries": _versions(REQUIRED),
        "codecs": _versions(CODECS),
        "optional": _versions(EXTRAS),
        "devices": _devices(),
        "weights": _weights(),
    }


def versions() -> list[str]:
    """Return the versions of rat and torch, and for each network its name and a short SHA-256."""
    from ratcli.network.registry import list_weights

    try:
        weights = [f"weights {each.name} {each.sha256[:12]}" for each in list_weights()]
    except RatError as error:
        weights = [str(error)]
    return [f"rat {__version__}", f"torch {_version('torch')}", *weights]


def _machine() -> dict[str, str]:
    free_gb = shutil.disk_usage(os.curdir).free / 1e9
    return {
        "rat": __version__,
        "python": f"{platform.python_version()} ({sys.platform}, {platform.machine()})",
        "processors": str(usable_processors()),
        "memory": _memory(),
        "free disk": f"{free_gb:.1f} GB here",
    }


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"


def _versions(distributions: dict[str, str]) -> dict[str, str]:
    return {name: f"{_version(name)}, for {use}" for name, use in distributions.items()}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _devices() -> dict[str, str]:
    """Ask torch, which takes a second to import. A broken installation is reported, not raised."""
    try:
        import torch
    except RatError as error:
        return {"torch": str(error)}
    except (ImportError, OSError) as error:
        return {"torch": f"cannot be imported ({type(error).__name__})"}
    devices = {"cpu": f"{torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = f"{facts.name}, {facts.total_memory / 1e9:.0f} GB"
    if torch.backends.mps.is_available():
        devices["mps"] = "available"
    return devices


def _weights() -> dict[str, str]:
    from ratcli.network.registry import list_weights, verify_weights
    from ratcli.weightfiles import weights_folders

    rows = {"folders": ", ".join(map(str, weights_folders()))}
    for entry in list_weights():
        try:
            verify_weights(entry)
            rows[entry.name] = "whole"
        except RatError as error:
            rows[entry.name] = str(error)
    return rows
