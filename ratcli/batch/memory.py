"""A budget of memory, and the portion of a scan that fits into it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ratcli.errors import DeviceError, UsageError
from ratcli.network.frame import FRAME_PX
from ratcli.network.registry import find_weights
from ratcli.scan import ScanInfo

# Measured on one CPU thread as peak resident size: 0.8 GB for the interpreter, torch and the
# network; 0.65 kB for each pixel that goes through a network of width 32, in proportion to the
# width; 0.12 kB for each pixel of a plane, which is partitioned, read ahead and written behind.
_BASE_BYTES = 850_000_000
_NETWORK_BYTES = 720
_NETWORK_WIDTH = 32
_PLANE_BYTES = 130

# The same without torch: 65 bytes for each pixel of a plane whose regions are found, and 27 to 34
# more if they are drawn.
_REGION_BASE_BYTES = 120_000_000
_REGION_BYTES = 75
_DRAWING_BYTES = 40

_STEP = 64
_SMALLEST_PANE = 128
_LARGEST_PANE = 1024
_MOST_AT_ONCE = 8

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Portion:
    """What goes through the network at once.

    Attributes:
        pane: side of the panes on the output's grid that planes are cut into; 0 for whole planes.
        batch: most planes or panes at once.
    """

    pane: int
    batch: int


def parse_bytes(text: str) -> int:
    """Read an amount of memory, as `4GB` or `1500 MB`.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?\s*", text.upper())
    if match is None:
        raise UsageError(f"'{text}' is not an amount of memory", hint="Write it as 4GB or 1500MB.")
    return int(float(match[1]) * _UNITS[match[2]])


def check_regions(limit_bytes: int, info: ScanInfo, *, is_drawn: bool, has_network: bool) -> None:
    """Refuse a scan whose regions cannot be found within a limit; planes are never cut for that.

    Args:
        limit_bytes: how much memory may be taken.
        info: the scan.
        is_drawn: whether the regions are drawn, too.
        has_network: whether a network finds them.

    Raises:
        DeviceError: the planes are too large.
    """
    base = _BASE_BYTES if has_network else _REGION_BASE_BYTES
    each = _REGION_BYTES + _DRAWING_BYTES * is_drawn
    least_gb = (base + each * info.height * info.width) / 1e9
    if least_gb * 1e9 > limit_bytes:
        raise DeviceError(
            f"{limit_bytes / 1e9:.2g} GB is too little to find the regions of this scan",
            hint=f"It needs at least {math.ceil(10 * least_gb) / 10:.1f} GB.",
        )


@dataclass(frozen=True)
class Budget:
    """Memory that a process, or the GPU, may take for a network.

    Attributes:
        limit_bytes: how much.
        network_bytes: what the network takes for each pixel that goes through it.
    """

    limit_bytes: int
    network_bytes: float

    @classmethod
    def of(cls, limit_bytes: int, weights: str) -> Budget:
        """Return the budget for weights of a name; a wider network takes more.

        Raises:
            WeightsError: there are no such weights.
        """
        width = int(find_weights(weights).network.get("width", _NETWORK_WIDTH))
        return cls(limit_bytes, _NETWORK_BYTES * width / _NETWORK_WIDTH)

    def portion(self, info: ScanInfo, scale: int = 1) -> Portion:
        """Return the largest portion of a scan that fits.

        Args:
            info: the scan.
            scale: output pixels for each input pixel and axis.

        Raises:
            DeviceError: not even the smallest pane fits.
        """
        plane = _pixels(info, scale)
        fixed = _BASE_BYTES + _PLANE_BYTES * info.channels * plane
        free = (self.limit_bytes - fixed) / self.network_bytes
        pane = 0
        if free < _extended(plane):
            side = int((math.sqrt(max(free, 0)) - 2 * FRAME_PX) // _STEP * _STEP)
            pane = min(max(side, _SMALLEST_PANE), _LARGEST_PANE)
        each = _extended(min(pane**2, plane) if pane else plane)
        if free < each:
            least_gb = (fixed + self.network_bytes * each) / 1e9
            raise DeviceError(
                f"{self.limit_bytes / 1e9:.2g} GB is too little for the network",
                hint=f"It needs at least {math.ceil(10 * least_gb) / 10:.1f} GB for this scan.",
            )
        return Portion(pane, min(_MOST_AT_ONCE, int(free // each)))


def _extended(pixels: int) -> int:
    """Return pixels that go through the network for those of a square plane or pane."""
    return math.ceil((math.sqrt(pixels) + 2 * FRAME_PX) ** 2)


def _pixels(info: ScanInfo, scale: int) -> int:
    """Return pixels on the output's grid that are in memory at once: of a plane, or of a pane."""
    from ratcli.pipeline.cutting import Cut

    return scale**2 * Cut.of(info, scale).pixels
