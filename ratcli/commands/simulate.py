"""`rat simulate`: its options, and the function that simulates scans of lower quality."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ratcli.batch.outcome import Outcome
from ratcli.commands.batches import SILENT, Listener, header_of, run_batch
from ratcli.commands.options import option, settle, takes
from ratcli.commands.scans import (
    BatchOptions,
    Scans,
    WindowOptions,
    batch_settings,
    paths_of,
    reading,
    selection,
    task_names,
    threads_option,
)
from ratcli.errors import UsageError
from ratcli.tasks import TASKS, get_task

if TYPE_CHECKING:
    from ratcli.batch.session import Batch
    from ratcli.batch.simulating import SimulateWork

PHYSICS = "Physics"


@dataclass(frozen=True, kw_only=True)
class SimulateOptions(WindowOptions, BatchOptions):
    """How `rat simulate` works; its fields are the options of the command line."""

    task: str | None = option(
        None,
        f"Task for which inputs are simulated: {', '.join(TASKS)}.",
        short="t", metavar="TASK", names=task_names, changes_pixels=True,
    )  # fmt: skip
    dose: float = option(
        0.25,
        "CT and PET: fraction of the dose or of the counts that is kept.",
        least=0.001, most=1, metavar="D", changes_pixels=True,
    )  # fmt: skip
    seed: int = option(
        0,
        "Seed of the noise. Another seed gives another scan of the same patient.",
        least=0, metavar="N", group=PHYSICS, changes_pixels=True,
    )  # fmt: skip
    scan_noise: float | None = option(
        None,
        "CT: standard deviation in HU of the noise that the scan already has in soft tissue. "
        "Without it, rat measures it.",
        least=0.1, metavar="HU", group=PHYSICS, changes_pixels=True,
    )  # fmt: skip
    kernel: Literal["smooth", "medium", "sharp", "edge"] | None = option(
        None,
        "CT: reconstruction kernel of the simulated noise. Without it, medium.",
        group=PHYSICS, changes_pixels=True,
    )  # fmt: skip
    modulation: float = option(
        0.6,
        "CT: how strongly the tube current follows the attenuation of the patient, from 0 (a "
        "constant current, as in old scanners) to 1. Most scanners of the last twenty years have "
        "0.5 to 0.7.",
        least=0, most=1, metavar="M", group=PHYSICS, changes_pixels=True,
    )  # fmt: skip
    counts: float = option(
        2e6,
        "PET: number of counts in an average plane of the full scan.",
        least=1e3, metavar="N", group=PHYSICS, changes_pixels=True,
    )  # fmt: skip
    spacing: float | None = option(
        None,
        "Pixel spacing in mm, for files that do not contain it.",
        least=0.01, metavar="MM", group=PHYSICS, changes_pixels=True,
    )  # fmt: skip
    threads: int = threads_option()


def simulate(
    scans: Scans,
    options: SimulateOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> list[Outcome]:
    """Simulate a lower dose, fewer counts or a coarser slide from good scans.

    A CT or PET scan already has noise: only the part that is missing is added.

    Args:
        scans: paths of files, folders and archives.
        options: the options; None for the defaults.
        listener: is called as the work proceeds.
        changes: single options by name, which replace those in `options`.

    Returns:
        The outcome of each scan.

    Raises:
        RatError: a scan failed; the error has the exit code of the command line. All other scans
            are done.
        TypeError: an option does not exist.
    """
    settled = settle(SimulateOptions, options, changes)
    batch, work = _prepare(scans, settled)
    return run_batch(batch, work, listener, dry_run=settled.dry_run)


takes(SimulateOptions)(simulate)


def _prepare(scans: Scans, options: SimulateOptions) -> tuple[Batch, SimulateWork]:
    from ratcli.batch.choosing import TaskChoice
    from ratcli.batch.plan import find_jobs
    from ratcli.batch.pool import threads_each
    from ratcli.batch.session import Batch
    from ratcli.batch.simulating import SimulateWork
    from ratcli.physics import Degradation

    if options.task is None:
        raise UsageError("no task was named", hint=f"Add --task with one of {', '.join(TASKS)}.")
    task = get_task(options.task)
    place = replace(
        selection(options, options, "_simulated"),
        choice=TaskChoice((task,)),
        no_inputs=("restore", "segment", "simulate"),
    )
    plan = find_jobs(paths_of(scans), place)
    work = SimulateWork(
        task=task,
        degradation=Degradation(
            dose=options.dose,
            seed=options.seed,
            noise_hu=options.scan_noise,
            kernel=options.kernel or "medium",
            modulation=options.modulation,
            counts=options.counts,
        ),
        reading=reading(options),
        any_values=options.any_values,
        spacing_mm=options.spacing,
        is_kernel_given=options.kernel is not None,
        threads=options.threads or threads_each(options.jobs),
    )
    header = header_of("simulate", options, {}, {"torch": None, "numpy": None})
    return Batch(plan, header, batch_settings(options)), work
