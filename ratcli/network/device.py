"""The device a network runs on, and the settings of torch that go with it."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

from ratcli.errors import DeviceError
from ratcli.network.settings import Precision
from ratcli.processors import usable_processors

_KEEP_BYTES = 2**31 - 1
_LARGEST_KEPT = 48 * 2**20  # above the maps of a plane of 512 x 512
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def choose_device(name: str, threads: int = 0) -> torch.device:
    """Return a device that is there, and set up torch for it.

    Args:
        name: `auto` (CUDA where there is one, else CPU), `cpu`, `cuda`, `cuda:1`, `mps`. Only
            `auto` chooses by itself.
        threads: CPU threads; 0 for torch's own choice, but at most what the quota of the container
            allows if `OMP_NUM_THREADS` is not set.

    Raises:
        DeviceError: no such device on this machine.
    """
    if not threads and "OMP_NUM_THREADS" not in os.environ:
        threads = min(torch.get_num_threads(), usable_processors())
    if threads:
        torch.set_num_threads(threads)
    keep_freed_memory()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"the device '{name}' is not available",
            hint="`rat doctor` lists the devices; --device auto chooses one.",
        ) from error
    return device


def choose_precision(wanted: Precision, device: torch.device) -> Precision:
    """Return the precision to use on a device: what is wanted, or for `auto` the faster one.

    Processors with AMX or AVX512-BF16 and GPUs from NVIDIA's Ampere on multiply bfloat16 faster
    than float32. Others do it in software, many times slower.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "mixed" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp32"
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    has = any(getattr(torch.cpu, name, lambda: False)() for name in checks)
    return "mixed" if has and device.type == "cpu" else "fp32"


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks of up to 48 MB instead of giving them back to the system.

    The network's temporaries are megabytes; having the kernel clear fresh pages for each costs more
    than the arithmetic (measured: 29 ms against 2 ms for 64 MB). The few larger maps of a plane of
    1024 x 1024 are given back: among the kept blocks they would leave holes of their size.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library: nothing to set
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
    mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def multiply_exactly() -> None:
    """Keep float32 products on CUDA in float32; convolutions use TF32 if nobody says otherwise."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
