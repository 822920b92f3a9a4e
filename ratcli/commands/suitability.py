"""What `rat info` finds in the pixels: the range of the values, and which tasks fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ratcli.errors import UnsuitableInputError
from ratcli.formats.quick_look import QuickLookError
from ratcli.formats.sampling import sampled_places
from ratcli.pipeline import check
from ratcli.pipeline.object_window import refuse_outside_window
from ratcli.scan import ScanReader
from ratcli.task import Task

MOST_PIXELS = 1 << 24
"""Most pixels that are read for a range: 64 planes of 512 x 512."""


@dataclass(frozen=True)
class ValueRange:
    """The lowest and the highest value, without padding and values that are not finite.

    Attributes:
        lowest: in the scan's unit.
        highest: in the scan's unit.
        seen: share of the pixels that were read, up to 1.
    """

    lowest: float
    highest: float
    seen: float


@dataclass(frozen=True)
class Suitability:
    """What `rat restore` would do with a scan.

    Attributes:
        task: name of the task.
        fits: whether the task suits the scan.
        text: what it would do, or why it does not fit.
    """

    task: str
    fits: bool
    text: str


def measure_range(reader: ScanReader, most_pixels: int = MOST_PIXELS) -> ValueRange | None:
    """Measure the range of a scan's values.

    Of a large scan only some pixels are read: evenly spaced planes, or boxes of one plane.

    Args:
        reader: an open scan.
        most_pixels: most pixels to read.

    Returns:
        The range, or None where no pixel is measured.

    Raises:
        UnreadableInputError: pixel data are damaged.
    """
    info = reader.info
    lowest, highest, seen = np.inf, -np.inf, 0
    for plane, box in sampled_places(info, most_pixels):
        try:
            values, padding = reader.read(plane, box), reader.padding(plane, box)
        except QuickLookError:  # the time is over
            if seen == 0:
                raise
            break
        seen += values.shape[1] * values.shape[2]
        measured = np.isfinite(values) & ~padding
        lowest = float(values.min(where=measured, initial=lowest))
        highest = float(values.max(where=measured, initial=highest))
    if lowest > highest:
        return None
    return ValueRange(lowest, highest, seen / (info.planes * info.height * info.width))


def suitability(task: Task, reader: ScanReader) -> Suitability:
    """Return what a task would do with a scan, by the same checks as `rat restore`.

    Raises:
        UnreadableInputError: pixel data are damaged.
    """
    info = reader.info
    try:
        task.check(info)
    except UnsuitableInputError as error:
        return Suitability(task.name, False, str(error))
    try:
        check(task, reader)
        conversion = _conversion(task, reader)
        refuse_outside_window(task, reader)
    except UnsuitableInputError as error:
        return Suitability(task.name, False, f"{error}. {error.hint}".strip(" ."))
    planes = "1 plane" if info.planes == 1 else f"{info.planes} planes"
    size = f"{info.height * task.scale} x {info.width * task.scale}"
    finer = f", {task.scale} times as fine" if task.scale > 1 else ""
    return Suitability(task.name, True, f"gives {planes} of {size} pixels{finer}{conversion}")


def _conversion(task: Task, reader: ScanReader) -> str:
    """Return a sentence about the conversion to the unit of the network.

    Raises:
        UnsuitableInputError: an activity cannot be converted to SUV.
    """
    unit, wanted = reader.info.unit, task.units[0]
    if unit is None:
        return f"; the file contains no unit, but its values look like {wanted}"
    if unit == wanted:
        low, high = task.window
        return "" if wanted == "RGB" else f"; changes values from {low:g} to {high:g} {wanted}"
    factor = task.unit_factor(reader.info)
    return f"; 1 {wanted} is {1 / factor:.4g} {unit}"
