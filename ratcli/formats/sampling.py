"""Some pixels of a scan, read to judge its values: evenly spaced planes, or boxes of large ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ratcli.errors import UnsuitableInputError
from ratcli.scan import Box, FloatArray, ScanInfo, ScanReader

_SIDE = 256
_JUDGED_PIXELS = 1 << 22
_DARK = 0.25
"""Colours that reach no further than this share of white seem to fill fewer bits."""


def sampled_places(info: ScanInfo, most_pixels: int) -> Iterator[tuple[int, Box | None]]:
    """List planes, or boxes of the middle plane where a plane is too large to be read whole.

    Args:
        info: facts about the scan.
        most_pixels: most pixels in all of them.
    """
    pixels = info.height * info.width
    if pixels <= min(most_pixels, _JUDGED_PIXELS):
        count = min(info.planes, max(1, most_pixels // pixels))
        for number in range(count):
            yield round(number * (info.planes - 1) / max(1, count - 1)), None
        return
    height, width = min(_SIDE, info.height), min(_SIDE, info.width)
    across = max(1, int((most_pixels / (height * width)) ** 0.5))
    for top in np.linspace(0, info.height - height, across).round():
        for left in np.linspace(0, info.width - width, across).round():
            yield info.planes // 2, Box(int(top), int(left), height, width)


def middle_places(info: ScanInfo) -> list[tuple[int, Box | None]]:
    """List the middle plane, or some boxes of it where it is large."""
    if info.height * info.width <= _JUDGED_PIXELS:
        return [(info.planes // 2, None)]
    return list(sampled_places(info, _JUDGED_PIXELS))


def middle_values(reader: ScanReader) -> FloatArray:
    """Return values of the middle plane, of a large one only some; flat.

    Raises:
        UnreadableInputError: pixel data are damaged.
    """
    return np.concatenate([reader.read(*place).ravel() for place in middle_places(reader.info)])


def refuse_doubtful_white(reader: ScanReader) -> None:
    """Refuse colours that fill only the lower part of 16 bits, unless the file says that they may.

    Raises:
        UnsuitableInputError: which stored number is white is not certain.
        UnreadableInputError: pixel data are damaged.
    """
    white = reader.info.assumed_white
    if white is None:
        return
    places = sampled_places(reader.info, _JUDGED_PIXELS)
    highest = round(max(float(reader.read(plane, box).max()) for plane, box in places) * white)
    if highest <= _DARK * white:
        bits = max(8, highest.bit_length() + highest.bit_length() % 2)
        raise UnsuitableInputError(
            f"colours reach only {highest} of {white:g}, and the file does not say which number is "
            f"white",
            hint=f"Give it with --full-scale: {(1 << bits) - 1} for {bits} bits, {white:g} if the "
            f"image is as dark as that.",
        )
