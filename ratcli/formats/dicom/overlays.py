"""Overlays: bitmaps in the groups 60xx that viewers draw over an image, pixel by pixel.

Source: PS3.3, C.9.2 (overlay plane); PS3.5, 8.1.2 (a bit for each pixel, lowest bit first).
"""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

_ROWS, _COLUMNS, _FRAMES, _ORIGIN = 0x0010, 0x0011, 0x0015, 0x0050
_DATA = 0x3000


def scale_overlays(dataset: Dataset, scale: int, *, big_endian: bool) -> None:
    """Enlarge the overlays of an image, and leave out those that cannot be enlarged.

    Args:
        dataset: the header; changed.
        scale: pixels of the finer grid for each pixel and axis.
        big_endian: whether words of 16 bits have their high byte first.
    """
    lost = lost_overlays(dataset)
    for group in _groups(dataset):
        if group in lost:
            for tag in [tag for tag in dataset.keys() if tag.group == group]:  # noqa: SIM118
                del dataset[tag]
        else:
            _enlarge(dataset, group, scale, swapped=big_endian)


def lost_overlays(dataset: Dataset) -> set[int]:
    """Return the groups of overlays that cannot be enlarged.

    They lack rows or columns, or have fewer bits than that: old files have them in the words of
    the pixels.
    """
    return {group for group in _groups(dataset) if not _can_be_enlarged(dataset, group)}


def _groups(dataset: Dataset) -> list[int]:
    tags = dataset.keys()
    return sorted({tag.group for tag in tags if tag.group & 0xFF00 == 0x6000})


def _number(dataset: Dataset, group: int, element: int) -> int:
    """Return the number that an element is; 0 if it is none."""
    value = dataset[group, element].value if (group, element) in dataset else None
    return int(value) if isinstance(value, int) else 0


def _shape(dataset: Dataset, group: int) -> tuple[int, int, int]:
    """Return frames, rows and columns."""
    frames = _number(dataset, group, _FRAMES) if (group, _FRAMES) in dataset else 1
    return frames, _number(dataset, group, _ROWS), _number(dataset, group, _COLUMNS)


def _can_be_enlarged(dataset: Dataset, group: int) -> bool:
    frames, rows, columns = _shape(dataset, group)
    pixels = frames * rows * columns
    data = dataset[group, _DATA].value if (group, _DATA) in dataset else b""
    return 0 < pixels <= 8 * len(data or b"")


def _enlarge(dataset: Dataset, group: int, scale: int, *, swapped: bool) -> None:
    frames, rows, columns = _shape(dataset, group)
    element = dataset[group, _DATA]
    is_swapped = swapped and element.VR == "OW"
    stored = np.frombuffer(element.value[: len(element.value) // 2 * 2], np.uint8)
    data = stored.reshape(-1, 2)[:, ::-1].ravel() if is_swapped else stored
    bits = np.unpackbits(data, count=frames * rows * columns, bitorder="little")
    large = bits.reshape(frames, rows, columns).repeat(scale, 1).repeat(scale, 2)
    packed = np.packbits(large.ravel(), bitorder="little")
    packed = np.pad(packed, (0, len(packed) % 2))
    element.value = (packed.reshape(-1, 2)[:, ::-1] if is_swapped else packed).tobytes()
    dataset[group, _ROWS].value, dataset[group, _COLUMNS].value = rows * scale, columns * scale
    if (group, _ORIGIN) in dataset:
        origin = dataset[group, _ORIGIN].value
        dataset[group, _ORIGIN].value = [(int(first) - 1) * scale + 1 for first in origin]
