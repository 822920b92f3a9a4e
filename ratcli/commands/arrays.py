"""Restores and measures arrays instead of scans on disk, for the Python functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratcli.batch.arrays import AnyArray, ArrayReader, ArrayWriter
from ratcli.commands.options import settle
from ratcli.formats import open_scan
from ratcli.regions import LabelArray, Regions
from ratcli.scan import FloatArray, ScanInfo, ScanReader
from ratcli.task import Task
from ratcli.tasks import get_task

if TYPE_CHECKING:
    import os

    from ratcli.commands.restore_options import RestoreOptions
    from ratcli.commands.segment import SegmentOptions
    from ratcli.pipeline import RestoreSettings
    from ratcli.pipeline.model import Model

# Options for arrays; all others are for scans on disk.
_FOR_ARRAYS = frozenset(
    {
        *("task", "strength", "device", "weights", "partition", "regions", "views", "threads"),
        *("precision", "tile", "pane_overlap", "memory", "compile"),
    }
)


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
    from ratcli.commands.restore_options import RestoreOptions, restore_settings
    from ratcli.pipeline import Outputs, restore_scan

    if others := sorted(set(changes) - _FOR_ARRAYS):
        raise TypeError(f"an array does not take these options: {', '.join(others)}")
    rest = {name: value for name, value in changes.items() if name != "regions"}
    settled = settle(RestoreOptions, options, rest)
    settings = restore_settings(settled)
    reader = ArrayReader(values, settings.task)
    writer = ArrayWriter(reader.info, settings.task.scale)
    labels = changes.get("regions")
    given = None if labels is None else given_regions(np.asarray(labels), reader.info)
    model = _model(settings)
    if settled.memory:
        budget = Budget.of(parse_bytes(settled.memory), settings.weights_names[0])
        portion = budget.portion(reader.info, settings.task.scale)
        model = model.within(portion.pane, portion.batch)
    restore_scan(reader, Outputs(writer), model, regions=given)
    return writer.result(values)


def regions_of(scan: AnyArray | str | os.PathLike[str], options: SegmentOptions) -> LabelArray:
    """Find the regions of an array or of one scan; see `ratcli.commands.segment.find_regions`."""
    from ratcli.batch.segmenting import labelled_planes
    from ratcli.commands.segment import partition_of
    from ratcli.network.settings import EngineSettings
    from ratcli.partition.cache import CachedPartitioner
    from ratcli.pipeline import RestoreSettings, check
    from ratcli.pipeline.model import load_partitioner

    if options.task is None:
        raise ValueError("the regions depend on the task: give task=...")
    task = get_task(options.task)
    settings = RestoreSettings(
        task=task,
        partition=partition_of(options),
        engine=EngineSettings(device=options.device, threads=options.threads),
    )
    partitioner = load_partitioner(settings)
    if options.cache is not None:
        partitioner = CachedPartitioner(partitioner, options.cache)
    with open_scan_or_array(scan, task, options.unit) as reader:
        check(task, reader)
        found = labelled_planes(reader, task, partitioner)
        planes = [plane.regions.labels for plane in found]
    return planes[0] if len(planes) == 1 else np.stack(planes)


def open_scan_or_array(
    scan: AnyArray | str | os.PathLike[str], task: Task | None, unit: str | None
) -> ScanReader:
    """Open one scan on disk, or an array.

    Raises:
        ValueError: an array without a task.
        RatError: the scan cannot be read.
    """
    if not isinstance(scan, np.ndarray):
        return open_scan(Path(scan), assume_unit=unit)
    if task is None:
        raise ValueError("an array has no unit: give task=...")
    return ArrayReader(scan, task)


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
