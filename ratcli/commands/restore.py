"""`rat restore`: its options, and the function that restores scans or arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from ratcli.batch.arrays import AnyArray
from ratcli.batch.outcome import Outcome
from ratcli.commands.batches import finish, header_of, planned, timed
from ratcli.commands.listening import SILENT, Listener
from ratcli.commands.options import option, settle, takes
from ratcli.commands.scans import (
    CACHE_HELP,
    DEVICE_HELP,
    PARTITION_HELP,
    SPEED,
    THREADS_HELP,
    BatchOptions,
    ScanOptions,
    batch_settings,
    partition_names,
    selection,
    task_names,
)
from ratcli.errors import UsageError
from ratcli.network.settings import EngineSettings, Precision
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.settings import VIEWS
from ratcli.scan import FloatArray
from ratcli.tasks import TASKS, get_task

if TYPE_CHECKING:
    from ratcli.batch.manifest import Header
    from ratcli.batch.restoring import RestoreWork
    from ratcli.batch.session import Batch
    from ratcli.commands.restore_report import RestoreReports

OUTPUTS = "What is written"
NETWORK = "Network and regions"

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class RestoreOptions(ScanOptions, BatchOptions):
    """How `rat restore` works; its fields are the options of the command line."""

    task: str | None = option(
        None,
        f"What to do: {', '.join(TASKS)}.",
        short="t", metavar="TASK", names=task_names, changes_pixels=True,
    )  # fmt: skip
    strength: float = option(
        RestoreSettings.strength,
        "How much of the restoration to apply, from 0 (unchanged) to 1 (full).",
        least=0, most=1, metavar="S", changes_pixels=True,
    )  # fmt: skip
    report: Path | None = option(
        None,
        "Write an HTML report: a file for one scan, a folder with an index for several.",
        metavar="PATH",
    )
    device: str = option(
        EngineSettings.device,
        DEVICE_HELP,
        metavar="DEVICE",
    )
    save_residual: bool = option(
        False, "Also write what was removed (input minus output).", group=OUTPUTS
    )
    uncertainty: bool = option(
        False,
        "Also write the standard deviation of each pixel. This restores each plane in 8 views, "
        "which takes 8 times as long.",
        group=OUTPUTS,
    )
    compression: Literal["lossless", "jpeg"] = option(
        "lossless",
        "Compression of TIFF and SVS outputs in 8-bit RGB. JPEG files are smaller, with some loss.",
        group=OUTPUTS,
    )
    quality: int | None = option(
        None, "Quality of JPEG, from 1 to 100. Without it, 90.",
        least=1, most=100, metavar="Q", group=OUTPUTS,
    )  # fmt: skip
    weights: tuple[str, ...] = option(
        (),
        "Name of the weights to use. Without it, those of the task. May be given more than once: "
        "the results are averaged.",
        metavar="NAME", group=NETWORK,
    )  # fmt: skip
    partition: str | None = option(
        None, PARTITION_HELP,
        metavar="NAME", names=partition_names, group=NETWORK, changes_pixels=True,
    )  # fmt: skip
    regions: Path | None = option(
        None, "Use the regions of this file (DICOM SEG, NIfTI or TIFF) instead of finding them.",
        metavar="FILE", group=NETWORK,
    )  # fmt: skip
    cache: Path | None = option(
        None, CACHE_HELP,
        metavar="DIR", group=NETWORK,
    )  # fmt: skip
    views: int | None = option(
        None,
        "Number of views of each plane to average: 1, or 8 (all rotations and mirror images), "
        "which is more accurate and takes 8 times as long. Without it, 1; with --uncertainty, 8.",
        metavar="N", group=NETWORK,
    )  # fmt: skip
    threads: int = option(0, THREADS_HELP, least=0, metavar="N", group=SPEED)
    precision: Precision = option(
        EngineSettings.precision,
        "Arithmetic of the network. bf16 is less exact, and faster on some devices.",
        group=SPEED,
        changes_pixels=True,
    )
    tile: int = option(
        EngineSettings.tile,
        "Side in pixels of the tiles that go through the network at once, to save memory of a GPU. "
        "The result changes only by rounding. 0, the default, uses whole planes.",
        least=0, metavar="PX", group=SPEED, changes_pixels=True,
    )  # fmt: skip
    pane_overlap: int = option(
        RestoreSettings.pane_overlap,
        "Overlap of neighbouring panes, in pixels of the input. Panes are the parts of a plane "
        "that is too large to be restored whole.",
        least=0, metavar="PX", group=SPEED, changes_pixels=True,
    )  # fmt: skip
    memory: str = option(
        "",
        "Largest amount of memory to use, such as 4GB. Planes that are too large for it are cut "
        "into panes, which changes the result.",
        metavar="SIZE", group=SPEED,
    )  # fmt: skip
    compile: bool = option(
        EngineSettings.compile,
        "Compile the network first, which takes about a minute; after that it is faster.",
        group=SPEED,
    )


class Restoration(NamedTuple):
    """A batch that is ready to run, and the work that it does for each scan."""

    batch: Batch
    work: RestoreWork


@overload
def restore(
    scans: AnyArray,
    options: RestoreOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> FloatArray: ...


@overload
def restore(
    scans: StrPath | Sequence[StrPath],
    options: RestoreOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> list[Outcome]: ...


def restore(
    scans: AnyArray | StrPath | Sequence[StrPath],
    options: RestoreOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> FloatArray | list[Outcome]:
    """Restore scans. Each result has the format and the geometry of its input.

    Args:
        scans: paths of files, folders and archives; or an array in the task's first unit: gray
            `(H, W)` or `(N, H, W)`, RGB `(H, W, 3)` or `(N, H, W, 3)`, NaN where nothing was
            measured. For an array, `regions` may be an integer array `(H, W)` or `(N, H, W)`.
        options: the options; None for the defaults.
        listener: is called as the work proceeds.
        changes: single options by name, which replace those in `options`.

    Returns:
        For paths, the outcome of each scan. For an array, float32 with the same axes, finer by
        the task's scale.

    Raises:
        RatError: a scan failed; the error has the exit code of the command line. All other scans
            are done.
        ValueError: the number of axes of an array does not suit the task.
        TypeError: an option does not exist, or is not for arrays.
    """
    if isinstance(scans, np.ndarray):
        from ratcli.commands.arrays import restore_array

        return restore_array(scans, options, changes)
    settled = settle(RestoreOptions, options, changes)
    batch, work = restoration(scans, settled)
    if settled.dry_run:
        return planned(batch, work, listener)
    reports = _reports(settled, batch, work, listener)
    with timed(listener, batch) as seconds:
        outcomes = batch.run(work, listener)
    listener.ended(outcomes, seconds())
    return finish(outcomes, reports.write(outcomes) if reports is not None else None)


takes(RestoreOptions)(restore)


def restoration(scans: StrPath | Sequence[StrPath], options: RestoreOptions) -> Restoration:
    """Plan what a batch reads, does and writes; nothing is computed yet.

    Raises:
        RatError: an input is missing, an output cannot be written as asked, or options contradict.
    """
    from ratcli.batch.memory import parse_bytes
    from ratcli.batch.plan import find_jobs
    from ratcli.batch.restoring import RestoreWork, jpeg_quality
    from ratcli.batch.session import Batch

    settings = restore_settings(options)
    _check_outputs(options, settings)
    work = RestoreWork(
        settings=settings,
        unit=options.unit,
        regions=_absolute(options.regions),
        max_pixels=options.max_pixels,
        cache=_absolute(options.cache),
        memory_bytes=parse_bytes(options.memory) if options.memory else 0,
        jpeg_quality=jpeg_quality(options.compression, options.quality),
    )
    paths = [scans] if isinstance(scans, (str, os.PathLike)) else scans
    place = selection(
        options,
        options,
        f"_{settings.task.name}",
        residual=options.save_residual,
        uncertainty=options.uncertainty,
    )
    plan = find_jobs([Path(path) for path in paths], place)
    return Restoration(Batch(plan, _header(options, work), batch_settings(options)), work)


def restore_settings(options: RestoreOptions) -> RestoreSettings:
    """Return the settings of the pipeline.

    Raises:
        UsageError: no task was named, or options contradict each other.
    """
    from ratcli.batch.pool import threads_each

    if options.task is None:
        raise UsageError("no task was named", hint=f"Add --task with one of {', '.join(TASKS)}.")
    return RestoreSettings(
        task=get_task(options.task),
        partition=options.partition or "",
        weights=options.weights,
        strength=options.strength,
        views=options.views or (VIEWS if options.uncertainty else 1),
        pane_overlap=options.pane_overlap,
        engine=EngineSettings(
            device=options.device,
            threads=options.threads or threads_each(options.jobs),
            precision=options.precision,
            tile=options.tile,
            compile=options.compile,
        ),
    )


def _check_outputs(options: RestoreOptions, settings: RestoreSettings) -> None:
    task = settings.task
    if options.uncertainty and settings.samples == 1:
        raise UsageError("an uncertainty needs 8 views, not 1", hint="Leave --views out.")
    if options.save_residual and task.scale != 1:
        raise UsageError(
            f"{task.name} changes the grid, so that input minus output cannot be computed"
        )


def _header(options: RestoreOptions, work: RestoreWork) -> Header:
    """Return what a manifest records about the batch.

    Raises:
        WeightsError: the weights are not installed.
    """
    from ratcli.batch.manifest import Header
    from ratcli.network.registry import find_weights
    from ratcli.weightfiles import hash_file

    if options.manifest is None:
        return Header()
    settings = work.settings
    weights, *others = (find_weights(name) for name in settings.weights_names)
    beside = {f"weights_beside_{entry.name}": entry.sha256 for entry in others}
    resolved = {
        "weights": weights.name,
        "weights_sha256": weights.sha256,
        **beside,
        "partition": settings.partition_name,
        "views": settings.views,
        "memory_bytes": work.memory_bytes or None,
        "jpeg_quality": work.jpeg_quality,
        "regions_sha256": hash_file(work.regions) if work.regions else None,
    }
    machine = {"torch": None, "numpy": None, "device": settings.engine.device}
    return header_of(
        "restore", options, resolved, {**machine, "threads": str(settings.engine.threads)}
    )


def _reports(
    options: RestoreOptions, batch: Batch, work: RestoreWork, listener: Listener
) -> RestoreReports | None:
    if options.report is None:
        return None
    from ratcli.commands.restore_report import RestoreReports

    return RestoreReports(options.report, batch.every_job, work, options.if_exists, listener)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()
