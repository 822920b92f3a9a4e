"""`rat restore`: its options, and the function that restores scans or arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from ratcli.batch.outcome import Fact, Outcome
from ratcli.commands.arrays import AnyArray
from ratcli.commands.batches import SILENT, Listener, finish, header_of, planned, timed
from ratcli.commands.options import settle, takes
from ratcli.commands.restore_options import RestoreOptions, possible_tasks, restore_settings
from ratcli.commands.scans import Scans, batch_settings, paths_of, reading, selection
from ratcli.errors import UsageError
from ratcli.scan import FloatArray

if TYPE_CHECKING:
    from ratcli.batch.by_task import WorkByTask
    from ratcli.batch.manifest import Header
    from ratcli.batch.plan import Selection
    from ratcli.batch.restoring import RestoreWork
    from ratcli.batch.session import Batch
    from ratcli.commands.restore_report import RestoreReports
    from ratcli.pipeline import RestoreSettings
    from ratcli.task import Task


class Restoration(NamedTuple):
    """A batch that is ready to run, and the work that it does for each scan."""

    batch: Batch
    work: RestoreWork | WorkByTask


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
    scans: Scans,
    options: RestoreOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> list[Outcome]: ...


def restore(
    scans: AnyArray | Scans,
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


def restoration(scans: Scans, options: RestoreOptions) -> Restoration:
    """Plan what a batch reads, does and writes; nothing is computed yet.

    Raises:
        RatError: an input is missing, an output cannot be written as asked, or options contradict.
    """
    from ratcli.batch.plan import find_jobs
    from ratcli.batch.session import Batch

    works = restore_works(options)
    plan = find_jobs(paths_of(scans), restore_selection(options, works))
    work = joined(works)
    for settings in dict.fromkeys(work.of(job).settings for job in plan.jobs):
        check_outputs(options, settings)
    return Restoration(Batch(plan, _header(options, works), batch_settings(options)), work)


def restore_works(options: RestoreOptions) -> tuple[RestoreWork, ...]:
    """Return how scans are restored: for the task that was named, or for each task.

    Raises:
        UsageError: options contradict each other.
        WeightsError: there are no such weights.
    """
    return tuple(_work(options, task) for task in possible_tasks(options))


def restore_selection(options: RestoreOptions, works: Sequence[RestoreWork]) -> Selection:
    """Return which scans are restored, and where the results go.

    Args:
        options: the options.
        works: from `restore_works`.
    """
    from ratcli.batch.choosing import TaskChoice

    place = selection(
        options,
        options,
        "_{task}",
        residual=options.save_residual,
        uncertainty=options.uncertainty,
    )
    tasks = tuple(work.settings.task for work in works)
    return replace(place, levels=True, choice=TaskChoice(tasks, works[0].reading.open))


def joined(works: tuple[RestoreWork, ...]) -> RestoreWork | WorkByTask:
    """Return the work for scans of all tasks of `restore_works`."""
    from ratcli.batch.by_task import WorkByTask

    return works[0] if len(works) == 1 else WorkByTask(works)


def _work(options: RestoreOptions, task: Task) -> RestoreWork:
    from ratcli.batch.memory import parse_bytes
    from ratcli.batch.restoring import RestoreWork, jpeg_quality

    return RestoreWork(
        settings=restore_settings(options, task),
        reading=reading(options),
        any_values=options.any_values,
        regions=_absolute(options.regions),
        cache=_absolute(options.cache),
        memory_bytes=parse_bytes(options.memory) if options.memory else 0,
        jpeg_quality=jpeg_quality(options.compression, options.quality),
    )


def check_outputs(options: RestoreOptions, settings: RestoreSettings) -> None:
    """Refuse outputs that a task, or the number of views, cannot give.

    Raises:
        UsageError: such an output is wanted.
    """
    from ratcli.pipeline.aiming import check_target

    task = settings.task
    check_target(settings)
    if options.uncertainty and settings.samples == 1:
        raise UsageError("an uncertainty needs 8 views, not 1", hint="Leave --views out.")
    if options.save_residual and task.scale != 1:
        raise UsageError(
            f"{task.name} changes the grid, so that input minus output cannot be computed"
        )


def _header(options: RestoreOptions, works: Sequence[RestoreWork]) -> Header:
    """Return what a manifest records about the batch, for each task if it was not named.

    Raises:
        WeightsError: the weights are not installed.
    """
    from ratcli.batch.manifest import Header

    if options.manifest is None:
        return Header()
    resolved: Mapping[str, Fact] = _resolved(works[0])
    if len(works) > 1:
        resolved = {work.settings.task.name: _resolved(work) for work in works}
    engine = works[0].settings.engine
    machine = {"torch": None, "numpy": None, "device": engine.device}
    return header_of("restore", options, resolved, {**machine, "threads": str(engine.threads)})


def _resolved(work: RestoreWork) -> dict[str, Fact]:
    """Return the settings of a task that depend on more than the options."""
    from ratcli.batch.restoring import regions_digest
    from ratcli.network.registry import find_weights

    settings = work.settings
    weights, *others = (find_weights(name) for name in settings.weights_names)
    beside = {f"weights_beside_{entry.name}": entry.sha256 for entry in others}
    return {
        "weights": weights.name,
        "weights_sha256": weights.sha256,
        **beside,
        "partition": None if work.regions else settings.partition_name,
        "views": settings.views,
        "memory_bytes": work.memory_bytes or None,
        "jpeg_quality": work.jpeg_quality,
        "regions_sha256": regions_digest(work.regions) if work.regions else None,
    }


def _reports(
    options: RestoreOptions, batch: Batch, work: RestoreWork | WorkByTask, listener: Listener
) -> RestoreReports | None:
    if options.report is None:
        return None
    from ratcli.commands.restore_report import RestoreReports

    return RestoreReports(options.report, batch.every_job, work, options.if_exists, listener)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()
