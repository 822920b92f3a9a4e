"""Refuses a scan of which nearly all lies outside the task's window, so that nothing would change.

Such values are in another unit than the file or the user says, as counts taken for SUV.
"""

from __future__ import annotations

import math

import numpy as np

from ratcli.errors import UnsuitableInputError
from ratcli.formats.sampling import middle_places
from ratcli.scan import Box, FloatArray, ScanReader
from ratcli.task import Task

MOST_PIXELS = 1 << 20
"""Pixels from which on only every second, third and so on of a row and a column counts."""

MOST_OUTSIDE = 0.95
"""Share of the object outside the window from which on a scan is refused."""


def refuse_outside_window(task: Task, reader: ScanReader, factor: float | None = None) -> None:
    """Refuse a gray scan if nearly all of the object in its middle plane lies outside the window.

    Args:
        task: whose window it is.
        reader: the open scan.
        factor: what its values are multiplied by to be in the task's first unit; None for what
            the scan says.

    Raises:
        UnsuitableInputError: nothing of it would be restored.
        UnreadableInputError: pixel data are damaged.
    """
    info = reader.info
    if info.channels > 1:
        return
    measured = np.concatenate([_measured(reader, *place) for place in middle_places(info)])
    factor = task.unit_factor(info) if factor is None else factor
    values = measured[np.isfinite(measured)] * np.float32(factor)
    object_values = _object(values)
    if object_values.size == 0:
        return
    outside = float(task.outside(object_values).mean())
    if outside > MOST_OUTSIDE:
        low, high = task.window
        hint = "Check the unit; --any-values accepts the scan as it is."
        if "SUV" in task.units and info.modality is None:
            hint = f"If they are no SUV, give --suv-factor. {hint}"
        raise UnsuitableInputError(
            f"{outside:.0%} of the object lies outside {low:g} to {high:g} {task.units[0]}, the "
            f"values that {task.name} changes",
            hint=hint,
        )


def _measured(reader: ScanReader, plane: int, box: Box | None) -> FloatArray:
    """Return some of the measured values of a plane or a box, flat."""
    values = reader.read(plane, box)[0]
    step = max(1, math.isqrt(values.size // MOST_PIXELS))
    some = np.s_[::step, ::step]
    measured: FloatArray = values[some][~reader.padding(plane, box)[some]]
    return measured


def _object(values: FloatArray) -> FloatArray:
    """Return the brighter part: values above the middle between air and the brightest tissue."""
    if values.size == 0:
        return values
    dark, bright = np.percentile(values, (1, 99))
    bright_part: FloatArray = values[values >= (dark + bright) / 2]
    return bright_part
