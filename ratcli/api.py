"""The Python API: what the command line does, for arrays too."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, cast, overload

import numpy as np
from typing_extensions import Unpack

from ratcli.batch.arrays import AnyArray, ArrayReader, ArrayWriter
from ratcli.batch.manifest import Header
from ratcli.batch.memory import Budget, parse_bytes
from ratcli.batch.outcome import Outcome, failure_of
from ratcli.batch.plan import IfExists, Selection, find_jobs
from ratcli.batch.pool import threads_each
from ratcli.batch.restoring import RestoreWork, RestoreWorker, jpeg_quality, restore_header
from ratcli.batch.session import Batch, BatchSettings
from ratcli.errors import UsageError
from ratcli.formats import open_scan
from ratcli.formats.limits import DEFAULT_MAX_PIXELS
from ratcli.regions import LabelArray, Regions
from ratcli.scan import FloatArray, ScanInfo, ScanReader
from ratcli.task import Task
from ratcli.tasks import get_task

if TYPE_CHECKING:
    from ratcli.evaluation.evaluate import Settings as EvaluationSettings
    from ratcli.evaluation.results import Evaluation
    from ratcli.pipeline import Restorer, RestoreSettings

LOG = logging.getLogger("ratcli.api")
StrPath = str | os.PathLike[str]


class RestoreOptions(TypedDict, total=False):
    """Options of a restoration; the words and defaults of `rat restore`.

    Attributes:
        partition: how regions are found; without it the task's way.
        weights: name of the weights; without it the task's.
        beside: names of further weights, whose results are averaged with those.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; only `auto` falls back.
        strength: 1 restored, 0 as it was.
        precision: `fp32` or `bf16`.
        tile: side of the tiles in pixels, which change rounding alone; 0 for whole planes.
        tile_overlap: pixels that panes share, into which `memory` may cut planes.
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
    beside: tuple[str, ...]
    compile: bool


class ScanOptions(TypedDict, total=False):
    """Options for scans on disk; the words and defaults of `rat restore`.

    Attributes:
        output: a file for one scan, else a folder; beside the inputs without it.
        if_exists: what to do about an output that is there: `error`, `skip` or `overwrite`.
        recursive: whether folders inside a folder are searched.
        series_uid: the only DICOM series wanted.
        unit: unit of the values where a file does not tell it.
        max_pixels: most pixels of a plane that is decoded.
        save_residual: whether what was removed is written too.
        uncertainty: whether the standard deviation of each pixel is written too.
        compression: `lossless`, or `jpeg` for TIFF and SVS in RGB of 8 bits.
        quality: of JPEG, 1 to 100; 90 without it.
        cache: folder of partitions that were computed before.
        manifest: file that keeps what became of each scan.
        resume: whether to go on with the manifest's batch.
        jobs: processes.
        scheduler: address of a Dask scheduler.
        fail_fast: whether the first failure ends the batch.
    """

    output: StrPath | None
    if_exists: IfExists
    recursive: bool
    series_uid: str | None
    unit: str | None
    max_pixels: int | None
    save_residual: bool
    uncertainty: bool
    compression: Literal["lossless", "jpeg"]
    quality: int | None
    cache: StrPath | None
    manifest: StrPath | None
    resume: bool
    jobs: int
    scheduler: str
    fail_fast: bool


class PathOptions(RestoreOptions, ScanOptions, total=False):
    """Options of a restoration from disk to disk; see the two parts."""


class Restoration(NamedTuple):
    """A batch that is ready to run, and what it does with each scan."""

    batch: Batch
    work: RestoreWork


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
    scan: StrPath | Sequence[StrPath],
    *,
    task: str,
    regions: StrPath | None = None,
    memory: str = "",
    **options: Unpack[PathOptions],
) -> list[Path]: ...


def restore(
    scan: AnyArray | StrPath | Sequence[StrPath],
    *,
    task: str,
    regions: AnyArray | StrPath | None = None,
    memory: str = "",
    **options: Unpack[PathOptions],
) -> FloatArray | list[Path]:
    """Restore an array, or the scans in files and folders.

    Args:
        scan: an array in the task's first unit: gray `(H, W)` or `(N, H, W)`, RGB `(H, W, 3)` or
            `(N, H, W, 3)`, NaN where there is no measurement; or paths of scans and folders.
        task: `ct-denoise`, `pet-synthesis` or `pathology-sr`.
        regions: labels to use instead of a partition: an array `(H, W)` or `(N, H, W)` for an
            array, the path of a region map for a path.
        memory: budget as `4GB`; planes that do not fit are cut, those that do go together.
        options: see `RestoreOptions`; for paths `ScanOptions` too.

    Returns:
        For an array: float32 with its axes, `scale` times as fine. For paths: the outputs.

    Raises:
        RatError: as the command line tells it, with the exit code it would have. Of several scans
            all others are done; what is wrong with each is logged.
        ValueError: the array has other axes than the task's.
        TypeError: an option for scans on disk was given for an array.
    """
    kept = _taken(options, ScanOptions)
    if kept.get("uncertainty"):
        options.setdefault("views", 8)
    network = cast(RestoreOptions, _taken(options, RestoreOptions))
    network["threads"] = network.get("threads", 0) or threads_each(kept.get("jobs", 1))
    settings = restore_settings(task, **network)
    if isinstance(scan, np.ndarray):
        if kept:
            raise TypeError(f"an array takes no option {', '.join(sorted(kept))}")
        labels = None if regions is None else np.asarray(regions)
        return _restore_array(scan, settings, labels, memory)
    map_file = regions if isinstance(regions, (str, os.PathLike)) else None
    paths = [scan] if isinstance(scan, (str, os.PathLike)) else scan
    batch, work = restoration(
        paths, settings, regions=map_file, memory=memory, **cast(ScanOptions, kept)
    )
    outcomes = batch.run(work, _Logging())
    error = failure_of(outcomes)
    if error is not None:
        raise error
    return [Path(outcome.output) for outcome in outcomes]


def restore_settings(task: str, **options: Unpack[RestoreOptions]) -> RestoreSettings:
    """Return settings of a restoration, in which defaults fill what is not given.

    Raises:
        UsageError: there is no such task, or values do not go together.
    """
    from ratcli.pipeline import RestoreSettings

    return RestoreSettings(task=get_task(task), **options)


def restoration(
    inputs: Sequence[StrPath],
    settings: RestoreSettings,
    *,
    regions: StrPath | None = None,
    memory: str = "",
    **options: Unpack[ScanOptions],
) -> Restoration:
    """Settle what a batch reads, does and writes; nothing is computed before it is run.

    `rat restore` and `ratcli.restore` both come through here.

    Args:
        inputs: files, folders and archives.
        settings: of the restoration.
        regions: file of a region map to use instead of a partition.
        memory: budget as `4GB`.
        options: see `ScanOptions`.

    Raises:
        RatError: an input is missing, an output cannot be what is asked, or options contradict.
    """
    task = settings.task
    residual = options.get("save_residual", False)
    uncertainty = options.get("uncertainty", False)
    if uncertainty and settings.samples == 1:
        raise UsageError("an uncertainty needs 8 views, not 1", hint="Leave --views out.")
    if residual and task.scale != 1:
        raise UsageError(
            f"{task.name} makes a finer grid, so that input and output have no difference"
        )
    work = RestoreWork(
        settings,
        options.get("unit"),
        _path(regions),
        options.get("max_pixels") or DEFAULT_MAX_PIXELS,
        _path(options.get("cache")),
        parse_bytes(memory) if memory else 0,
        jpeg_quality(options.get("compression", "lossless"), options.get("quality")),
    )
    place = Selection(
        f"_{task.name}",
        _path(options.get("output")),
        options.get("recursive", False),
        options.get("series_uid"),
        residual,
        uncertainty,
    )
    how = BatchSettings(
        options.get("if_exists", "error"),
        _path(options.get("manifest")),
        options.get("resume", False),
        options.get("jobs", 1),
        options.get("scheduler", ""),
        options.get("fail_fast", False),
    )
    plan = find_jobs([Path(path) for path in inputs], place)
    header = restore_header(work) if how.manifest is not None else Header()
    return Restoration(Batch(plan, header, how), work)


def segment(
    scan: AnyArray | StrPath,
    *,
    task: str,
    partition: str = "",
    unit: str | None = None,
    device: str = "auto",
    cache: StrPath | None = None,
) -> LabelArray:
    """Find the regions of an array or of a scan on disk; nothing is written.

    Args:
        scan: as for `restore`; a path must be that of one scan.
        task: the task whose units the values are in, and whose partition is the default.
        partition: how regions are found, as `--partition`.
        unit: unit of the values where a file does not tell it.
        device: where a partition by a network is computed.
        cache: folder of partitions that were computed before.

    Returns:
        Labels from 0, int32 `(H, W)` for one plane, `(N, H, W)` for several.

    Raises:
        RatError: the scan is not what the task is for, or there is no such partition.
    """
    from ratcli.batch.segmenting import labelled_planes
    from ratcli.partition.cache import CachedPartitioner
    from ratcli.pipeline import RestoreSettings, check, load_partitioner

    chosen = get_task(task)
    partitioner = load_partitioner(RestoreSettings(chosen, partition=partition, device=device))
    if cache is not None:
        partitioner = CachedPartitioner(partitioner, Path(cache))
    with _open(scan, chosen, unit) as reader:
        check(chosen, reader)
        found = labelled_planes(reader, chosen, partitioner)
        planes = [plane.regions.labels for plane in found]
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


def _path(path: StrPath | None) -> Path | None:
    return None if path is None else Path(path).absolute()


def _taken(options: PathOptions, kind: type[RestoreOptions] | type[ScanOptions]) -> dict[str, Any]:
    """Return the options of one kind."""
    return {name: value for name, value in options.items() if name in kind.__annotations__}


class _Logging:
    """A listener that logs failures alone."""

    def check(self) -> None:
        return None

    def planes(self, name: str, done: int, total: int) -> None:
        return None

    def finished(self, outcome: Outcome) -> None:
        if outcome.status == "failed":
            LOG.error("%s", outcome.error)


@functools.lru_cache(maxsize=2)
def _restorer(settings: RestoreSettings) -> Restorer:
    from ratcli.pipeline import Restorer

    return Restorer.load(settings)


def _restore_array(
    scan: AnyArray, settings: RestoreSettings, labels: AnyArray | None, memory: str
) -> FloatArray:
    reader = ArrayReader(scan, settings.task)
    writer = ArrayWriter(reader.info, settings.task.scale)
    given = None if labels is None else _given(labels, reader.info)
    restorer = _restorer(settings)
    if memory:
        weights = settings.weights or settings.task.weights
        budget = Budget.of(parse_bytes(memory), weights)
        restorer = RestoreWorker(restorer, budget=budget).restorer_for(reader.info)
    restorer.restore(reader, writer, regions=given)
    return writer.result(scan)


def _given(labels: AnyArray, info: ScanInfo) -> Callable[[int], Regions]:
    planes = labels if labels.ndim == 3 else labels[None]
    if planes.shape[1:] != (info.height, info.width) or len(planes) not in (1, info.planes):
        raise ValueError(f"regions {labels.shape} are not on the grid of the scan")
    return lambda plane: Regions.from_labels(planes[min(plane, len(planes) - 1)])
