"""A budget of memory: what tile and batch fit into it."""

from __future__ import annotations

import math
import re

from ratcli.errors import DeviceError, UsageError
from ratcli.network.registry import find_weights

# Measured on CPU, one thread, planes of 64 to 512 pixels: 0.8 GB for the interpreter, torch and the
# network, up to 0.1 for planes on their way; then 1.35 kB for each pixel of a tile at width 32, in
# proportion to the width.
_BASE_BYTES = 900_000_000
_PIXEL_BYTES = 1400
_PIXEL_WIDTH = 32

_STEP = 64
_SMALLEST_TILE = 128
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_bytes(text: str) -> int:
    """Read an amount of memory, as `4GB` or `1500 MB`.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?\s*", text.upper())
    if match is None:
        raise UsageError(f"'{text}' is no amount of memory", hint="Write it as 4GB or 1500MB.")
    return int(float(match[1]) * _UNITS[match[2]])


def fit_tile(budget_bytes: int, weights: str) -> int:
    """Return the side of the tiles that keep a process within a budget, one at a time.

    Args:
        budget_bytes: memory of the whole process, or of the GPU.
        weights: name of the weights; a wider network takes more.

    Raises:
        DeviceError: not even the smallest tile fits.
        WeightsError: there are no such weights.
    """
    width = int(find_weights(weights).network.get("width", _PIXEL_WIDTH))
    each = _PIXEL_BYTES * width / _PIXEL_WIDTH
    pixels = (budget_bytes - _BASE_BYTES) / each
    tile = int(math.sqrt(max(pixels, 0)) // _STEP * _STEP)
    if tile < _SMALLEST_TILE:
        least = (_BASE_BYTES + each * _SMALLEST_TILE**2) / 1e9
        raise DeviceError(
            f"{budget_bytes / 1e9:.2g} GB are too little for the network",
            hint=f"It needs at least {least:.1f} GB.",
        )
    return tile
