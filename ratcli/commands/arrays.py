"""Restores and measures arrays instead of scans on disk, for the Python functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ratcli.batch.closing import Closing
from ratcli.commands.options import settle
from ratcli.commands.scans import reading
from ratcli.errors import UnsuitableInputError, UsageError
from ratcli.formats import Reading
from ratcli.formats.sampling import middle_values
from ratcli.regions import LabelArray, Regions
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo, ScanReader
from ratcli.task import Task
from ratcli.tasks import TASKS, get_task

if TYPE_CHECKING:
    from ratcli.commands.restore_options import RestoreOptions
    from ratcli.commands.scans import StrPath
    from ratcli.commands.segment import SegmentOptions
    from ratcli.pipeline import RestoreSettings
    from ratcli.pipeline.model import Model

# Options for arrays; all others are for scans on disk.
_FOR_ARRAYS = frozenset(
    {
        *("task", "strength", "target_noise", "dose_equivalent", "device", "weights"),
        *("partition", "regions", "views", "threads", "precision", "tile", "pane_overlap"),
        *("memory", "compile", "any_values", "unit"),
    }
)
AnyArray = npt.NDArray[Any]


def restore_array(
    values: AnyArray, options: RestoreOptions | None, changes: Mapping[str, Any]
) -> FloatArray:
    """Restore an array; see `ratcli.commands.restore.restore`.

    Raises:
        TypeError: an option is only for scans on disk.
        ValueError: the number of axes of the array does not suit the task.
        RatError: as for scans.
    """
    from ratcli.batch.memory import Budget, parse_bytes
    from ratcli.commands.restore_options import RestoreOptions, possible_tasks, restore_settings
    from ratcli.pipeline import Outputs, restore_scan
    from ratcli.pipeline.aiming import aimed, check_target
    from ratcli.pipeline.object_window import refuse_outside_window

    if others := sorted(set(changes) - _FOR_ARRAYS):
        raise TypeError(f"an array does not take these options: {', '.join(others)}")
    rest = {name: value for name, value in changes.items() if name != "regions"}
    settled = settle(RestoreOptions, options, rest)
    tasks = possible_tasks(settled)
    if len(tasks) > 1:
        raise UsageError("no task was named", hint=f"Give task= one of {', '.join(TASKS)}.")
    settings = restore_settings(settled, tasks[0])
    unit = settings.task.units[0] if settled.any_values else settled.unit
    reader = checked_array(values, settings.task, unit)
    writer = ArrayWriter(reader.info, settings.task.scale)
    labels = changes.get("regions")
    given = None if labels is None else given_regions(np.asarray(labels), reader.info)
    if not settled.any_values:
        refuse_outside_window(settings.task, reader)
    model = _model(settings)
    if settled.memory:
        budget = Budget.of(parse_bytes(settled.memory), settings.weights_names[0])
        portion = budget.portion(reader.info, settings.task.scale)
        model = model.within(portion.pane, portion.batch)
    check_target(model.settings)
    model, _ = aimed(model, reader, given)
    restore_scan(reader, Outputs(writer), model, regions=given)
    return writer.result(values)


def regions_of(scan: AnyArray | StrPath, options: SegmentOptions) -> LabelArray:
    """Find the regions of an array or of one scan; see `ratcli.commands.segment.find_regions`."""
    from ratcli.batch.segmenting import labelled_planes
    from ratcli.network.settings import EngineSettings
    from ratcli.partition.cache import CachedPartitioner
    from ratcli.pipeline import RestoreSettings, check
    from ratcli.pipeline.model import load_partitioner
    from ratcli.pipeline.object_window import refuse_outside_window

    if options.task is None:
        raise ValueError("the regions depend on the task: give task=...")
    task = get_task(options.task)
    settings = RestoreSettings(
        task=task,
        partition=options.partition or "",
        engine=EngineSettings(device=options.device, threads=options.threads),
    )
    partitioner = load_partitioner(settings)
    if options.cache is not None:
        partitioner = CachedPartitioner(partitioner, options.cache)
    how = reading(options)
    if options.any_values and isinstance(scan, np.ndarray):
        how = replace(how, unit=task.units[0])
    with open_scan_or_array(scan, task, how) as reader:
        check(task, reader)
        if not options.any_values:
            refuse_outside_window(task, reader)
        found = labelled_planes(reader, task, partitioner)
        planes = [plane.regions.labels for plane in found]
    return planes[0] if len(planes) == 1 else np.stack(planes)


def open_scan_or_array(scan: AnyArray | StrPath, task: Task | None, how: Reading) -> ScanReader:
    """Open one scan on disk, or an array.

    Raises:
        ValueError: an array without a task.
        RatError: the scan cannot be read, or an array is in another unit.
    """
    if not isinstance(scan, np.ndarray):
        return how.open(Path(scan))
    if task is None:
        raise ValueError("an array has no unit: give task=...")
    return checked_array(scan, task, how.unit)


def checked_array(values: AnyArray, task: Task, unit: str | None) -> ArrayReader:
    """Return a reader of an array whose values are in the task's first unit.

    Args:
        values: see `ArrayReader`.
        task: the task it is read for.
        unit: unit of the values; None if they have to look like it.

    Raises:
        UnsuitableInputError: they do not look like it, or are in another unit.
        ValueError: the array has other axes.
    """
    reader, wanted = ArrayReader(values, task), task.units[0]
    if unit is None:
        task.check_values(middle_values(reader))
    elif unit != wanted:
        raise UnsuitableInputError(f"an array for {task.name} is in {wanted}, not in {unit}")
    return reader


def given_regions(labels: AnyArray, info: ScanInfo) -> Callable[[int], Regions]:
    """Return a function that gives the regions of each plane.

    Args:
        labels: integers `(H, W)` for every plane, or `(N, H, W)`.
        info: of the scan that they belong to.

    Raises:
        ValueError: the labels do not have the size of the scan.
    """
    planes = labels if labels.ndim == 3 else labels[None]
    if planes.shape[1:] != (info.height, info.width) or len(planes) not in (1, info.planes):
        raise ValueError(f"regions {labels.shape} are not on the grid of the scan")
    return lambda plane: Regions.from_labels(planes[min(plane, len(planes) - 1)])


@functools.lru_cache(maxsize=2)
def _model(settings: RestoreSettings) -> Model:
    from ratcli.pipeline.model import Model

    return Model.load(settings)


class ArrayReader(Closing):
    """Reads planes of an array, as `ScanReader` does.

    Args:
        values: gray `(H, W)` or `(N, H, W)`, RGB `(H, W, 3)` or `(N, H, W, 3)`, in the task's
            first unit; RGB of 8 bits is taken as 0 to 255. NaN is padding.
        task: the task it is read for.

    Raises:
        ValueError: the array has other axes.
    """

    def __init__(self, values: AnyArray, task: Task) -> None:
        axes = 2 if task.channels == 1 else 3
        if values.ndim not in (axes, axes + 1) or values.size == 0:
            shapes = "(H, W) or (N, H, W)" if axes == 2 else "(H, W, 3) or (N, H, W, 3)"
            raise ValueError(f"{task.name} takes arrays {shapes}, not {values.shape}")
        planes = values if values.ndim == axes + 1 else values[None]
        self._planes = planes[:, None] if axes == 2 else np.moveaxis(planes, -1, 1)
        self._gain = np.float32(1 / 255 if axes == 3 and values.dtype == np.uint8 else 1)
        count, channels, height, width = self._planes.shape
        self.info = ScanInfo(
            planes=count,
            channels=channels,
            height=height,
            width=width,
            spacing_mm=(None, None, None),
            modality=None,
            unit=task.units[0],
            bits=8 * values.dtype.itemsize,
            format="array",
        )

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read a plane or a box; see `ScanReader.read`."""
        values: FloatArray = self._planes[plane].astype(np.float32) * self._gain
        if box is None:
            return values
        rows, columns = box.slices
        return values[:, rows, columns]

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        """Return where a plane or a box is NaN; see `ScanReader.padding`."""
        return np.asarray(np.isnan(self.read(plane, box)).any(axis=0))


class ArrayWriter(Closing):
    """Writes planes into an array, as `ScanWriter` does into a file.

    Args:
        info: facts about the scan that was read.
        scale: output pixels for each input pixel and axis.
    """

    def __init__(self, info: ScanInfo, scale: int) -> None:
        shape = (info.planes, info.channels, info.height * scale, info.width * scale)
        self._planes = np.zeros(shape, np.float32)

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write a plane or a box; see `ScanWriter.write`."""
        rows, columns = (slice(None), slice(None)) if box is None else box.slices
        self._planes[plane, :, rows, columns] = values

    def result(self, like: AnyArray) -> FloatArray:
        """Return what was written, with the axes of the array that was read."""
        gray = self._planes.shape[1] == 1
        planes = self._planes[:, 0] if gray else np.moveaxis(self._planes, 1, -1)
        return planes if planes.ndim == like.ndim else planes[0]
