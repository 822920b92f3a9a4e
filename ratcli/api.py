"""The Python API: what the command line does, for arrays too."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, overload

import numpy as np
from typing_extensions import Unpack

from ratcli.batch.arrays import AnyArray, ArrayReader, ArrayWriter
from ratcli.batch.manifest import Header
from ratcli.batch.memory import fit_tile, parse_bytes
from ratcli.batch.outcome import Outcome, failure_of
from ratcli.batch.plan import IfExists, Selection, find_jobs
from ratcli.batch.restoring import RestoreWork, restore_header
from ratcli.batch.session import Batch, BatchSettings
from ratcli.formats import open_scan
from ratcli.regions import LabelArray, Regions
from ratcli.scan import FloatArray, ScanInfo, ScanReader
from ratcli.task import Task
from ratcli.tasks import get_task

if TYPE_CHECKING:
    from ratcli.evaluation.evaluate import Settings as EvaluationSettings
    from ratcli.evaluation.results import Evaluation
    from ratcli.restore import Restorer, RestoreSettings

StrPath = str | os.PathLike[str]


class RestoreOptions(TypedDict, total=False):
    """Options of a restoration; the words and defaults of `rat restore`.

    Attributes:
        partition: how regions are found; without it the task's way.
        weights: name of the weights; without it the task's.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; only `auto` falls back.
        strength: 1 restored, 0 as it was.
        precision: `fp32` or `bf16`.
        tile: side of the tiles in pixels; 0 for whole planes.
        tile_overlap: pixels that tiles share.
        threads: CPU threads; 0 for all.
        views: 8 for the mean over the plane turned and mirrored.
        compile: whether the network is compiled: faster after a minute's start.
    """

    partition: str
    weights: str
    device: str
    strength: float
    precision: str
    tile: int
    tile_overlap: int
    threads: int
    views: int
    compile: bool


@overload
def restore(
    scan: AnyArray,
    *,
    task: str,
    regions: AnyArray | None = None,
    memory: str = "",
    **options: Unpack[RestoreOptions],
) -> FloatArray: ...


@overload
def restore(
    scan: StrPath,
    *,
    task: str,
    output: StrPath | None = None,
    if_exists: IfExists = "error",
    unit: str | None = None,
    regions: StrPath | None = None,
    memory: str = "",
    **options: Unpack[RestoreOptions],
) -> list[Path]: ...


def restore(
    scan: AnyArray | StrPath,
    *,
    task: str,
    output: StrPath | None = None,
    if_exists: IfExists = "error",
    unit: str | None = None,
    regions: AnyArray | StrPath | None = None,
    memory: str = "",
    **options: Unpack[RestoreOptions],
) -> FloatArray | list[Path]:
    """Restore an array, or the scans in a file or folder.

    Args:
        scan: an array in the task's first unit: gray `(H, W)` or `(N, H, W)`, RGB `(H, W, 3)` or
            `(N, H, W, 3)`, NaN where there is no measurement; or the path of a scan or folder.
        task: `ct-denoise`, `pet-synthesis` or `pathology-sr`.
        output: where a scan on disk goes, as `rat restore -o`; beside the input without it.
        if_exists: what to do about an output that is there: `error`, `skip` or `overwrite`.
        unit: unit of the values where a file does not tell it.
        regions: labels to use instead of a partition: an array `(H, W)` or `(N, H, W)` for an
            array, the path of a region map for a path.
        memory: budget as `4GB`; chooses the tile where none is given, and one plane at a time.
        options: see `RestoreOptions`.

    Returns:
        For an array: float32 with its axes, `scale` times as fine. For a path: the outputs.

    Raises:
        RatError: as the command line tells it, with the exit code it would have.
        ValueError: the array has other axes than the task's.
    """
    settings = restore_settings(task, memory=memory, **options)
    if isinstance(scan, np.ndarray):
        return _restore_array(scan, settings, None if regions is None else np.asarray(regions))
    place = Selection(f"_{task}", None if output is None else Path(output))
    map_file = Path(regions) if isinstance(regions, (str, os.PathLike)) else None
    work = RestoreWork(settings, unit, map_file)
    batch = restore_batch([Path(scan)], place, work, BatchSettings(if_exists))
    outcomes = batch.run(work, _Silent())
    error = failure_of(outcomes)
    if error is not None:
        raise error
    return [Path(outcome.output) for outcome in outcomes]


def restore_settings(
    task: str, *, memory: str = "", **options: Unpack[RestoreOptions]
) -> RestoreSettings:
    """Return settings of a restoration, in which defaults fill what is not given.

    Raises:
        UsageError: there is no such task, or values do not go together.
    """
    from ratcli.restore import RestoreSettings

    chosen = get_task(task)
    settings = RestoreSettings(task=chosen, **options)
    if not memory:
        return settings
    tile = settings.tile or fit_tile(parse_bytes(memory), settings.weights or chosen.weights)
    return replace(settings, tile=tile, batch=1)


def restore_batch(
    inputs: Sequence[Path], place: Selection, work: RestoreWork, how: BatchSettings
) -> Batch:
    """Settle what a batch reads and writes; nothing is computed before it is run.

    Raises:
        RatError: an input is missing, or an output cannot be what is asked; see `find_jobs`.
    """
    plan = find_jobs(inputs, place)
    header = restore_header(work) if how.manifest is not None else Header()
    return Batch(plan, header, how)


def segment(
    scan: AnyArray | StrPath,
    *,
    task: str,
    partition: str = "",
    unit: str | None = None,
) -> LabelArray:
    """Find the regions of an array or of a scan on disk; nothing is written.

    Args:
        scan: as for `restore`; a path must be that of one scan.
        task: the task whose units the values are in, and whose partition is the default.
        partition: how regions are found, as `--partition`.
        unit: unit of the values where a file does not tell it.

    Returns:
        Labels from 0, int32 `(H, W)` for one plane, `(N, H, W)` for several.

    Raises:
        RatError: the scan is not what the task is for, or there is no such partition.
    """
    from ratcli.partition import get_partitioner
    from ratcli.restore import check, unit_factor

    chosen = get_task(task)
    partitioner = get_partitioner(partition or chosen.partition)
    with _open(scan, chosen, unit) as reader:
        check(chosen, reader)
        factor = np.float32(unit_factor(chosen, reader))
        planes = []
        for plane in range(reader.info.planes):
            values = reader.read(plane) * factor
            values[:, reader.padding(plane)] = chosen.window[0]
            planes.append(partitioner.partition(chosen.normalise(values)).labels)
    return planes[0] if len(planes) == 1 else np.stack(planes)


def evaluate(
    restored: AnyArray | StrPath,
    *,
    reference: AnyArray | StrPath | None = None,
    input: AnyArray | StrPath | None = None,
    task: str = "",
    unit: str | None = None,
    settings: EvaluationSettings | None = None,
) -> Evaluation:
    """Measure a restored scan: fidelity, noise, resolution, region means, what was taken away.

    Args:
        restored: an array or the path of one scan.
        reference: what it should look like.
        input: what it was made from.
        task: the task whose units arrays are in; needed for arrays alone.
        unit: unit of the values where a file does not tell it.
        settings: windows, baselines and more.

    Raises:
        RatError: the scans do not belong together, or cannot be read.
        ValueError: arrays without a task.
    """
    from ratcli.evaluation.evaluate import evaluate as measure
    from ratcli.evaluation.scene import Comparison

    chosen = get_task(task) if task else None
    with ExitStack() as stack:
        readers = [
            None if scan is None else stack.enter_context(_open(scan, chosen, unit))
            for scan in (restored, reference, input)
        ]
        assert readers[0] is not None
        return measure(Comparison(readers[0], readers[1], readers[2]), settings)


def _open(scan: AnyArray | StrPath, task: Task | None, unit: str | None) -> ScanReader:
    if not isinstance(scan, np.ndarray):
        return open_scan(Path(scan), assume_unit=unit)
    if task is None:
        raise ValueError("an array does not tell its unit: name the task")
    return ArrayReader(scan, task)


class _Silent:
    """A listener that tells nobody."""

    def check(self) -> None:
        return None

    def planes(self, name: str, done: int, total: int) -> None:
        return None

    def finished(self, outcome: Outcome) -> None:
        return None


@functools.lru_cache(maxsize=2)
def _restorer(settings: RestoreSettings) -> Restorer:
    from ratcli.restore import Restorer

    return Restorer.load(settings)


def _restore_array(
    scan: AnyArray, settings: RestoreSettings, labels: AnyArray | None
) -> FloatArray:
    reader = ArrayReader(scan, settings.task)
    writer = ArrayWriter(reader.info, settings.task.scale)
    given = None if labels is None else _given(labels, reader.info)
    _restorer(settings).restore(reader, writer, regions=given)
    return writer.result(scan)


def _given(labels: AnyArray, info: ScanInfo) -> Callable[[int], Regions]:
    planes = labels if labels.ndim == 3 else labels[None]
    if planes.shape[1:] != (info.height, info.width) or len(planes) not in (1, info.planes):
        raise ValueError(f"regions {labels.shape} are not on the grid of the scan")
    return lambda plane: Regions.from_labels(planes[min(plane, len(planes) - 1)])
