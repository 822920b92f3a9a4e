"""`rat simulate`: the degraded scan that a user lacks, from a good one."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from ratcli.cli import options
from ratcli.cli.config import Config
from ratcli.cli.console import Talk, talking
from ratcli.errors import UsageError
from ratcli.tasks import TASKS, get_task

app = typer.Typer(add_completion=False)

PHYSICS = "Physics"


class KernelName(str, Enum):
    """Reconstruction kernels."""

    SMOOTH = "smooth"
    MEDIUM = "medium"
    SHARP = "sharp"
    EDGE = "edge"


Dose = Annotated[
    float,
    typer.Option(
        "--dose",
        min=0.001,
        max=1.0,
        metavar="D",
        help="CT and PET: share of the dose or counts that is left.",
        rich_help_panel=PHYSICS,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        metavar="N",
        help="Another seed is another scan of the same patient.",
        rich_help_panel=PHYSICS,
    ),
]
ScanNoise = Annotated[
    float | None,
    typer.Option(
        "--scan-noise",
        min=0.1,
        metavar="HU",
        help="CT: noise that the scan has, in soft tissue. Without it, it is measured.",
        rich_help_panel=PHYSICS,
        show_default=False,
    ),
]
KernelChoice = Annotated[
    KernelName,
    typer.Option(
        "--kernel", help="CT: the kernel that the noise looks like.", rich_help_panel=PHYSICS
    ),
]
Counts = Annotated[
    float,
    typer.Option(
        "--counts",
        min=1e3,
        metavar="N",
        help="PET: counts of a mean plane of the full scan.",
        rich_help_panel=PHYSICS,
    ),
]
Spacing = Annotated[
    float | None,
    typer.Option(
        "--spacing",
        min=0.01,
        metavar="MM",
        help="Pixel spacing where a file does not tell it.",
        rich_help_panel=PHYSICS,
        show_default=False,
    ),
]


@app.command(
    epilog=options.examples(
        ("rat simulate scan.dcm --task ct-denoise", "a quarter of the dose: scan_simulated.dcm"),
        ("rat simulate study/ -t ct-denoise -r --dose 0.1 -o low/", "every scan at a tenth"),
        ("rat simulate pet.nii.gz -t pet-synthesis --unit SUV --dose 0.083", "a twelfth"),
        ("rat simulate slide.tif -t pathology-sr -o small.tif", "four times as coarse"),
    )
)
def simulate(
    inputs: options.Inputs,
    task: options.TaskName = None,
    dose: Dose = 0.25,
    output: options.Output = None,
    if_exists: options.IfThere = options.IfExists.ERROR,
    recursive: options.Recursive = False,
    series_uid: options.SeriesUid = None,
    unit: options.Unit = None,
    max_pixels: options.MaxPixels = None,
    seed: Seed = 0,
    scan_noise: ScanNoise = None,
    kernel: KernelChoice = KernelName.MEDIUM,
    counts: Counts = 2e6,
    spacing: Spacing = None,
    threads: options.Threads = 0,
    jobs: options.Jobs = 1,
    scheduler: options.Scheduler = "",
    manifest: options.ManifestFile = None,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    fail_fast: options.FailFast = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
    no_progress: options.NoProgress = False,
    log_file: options.LogFile = None,
    config: Config = None,
) -> None:
    """Degrade good scans as a lower dose would have, to test any denoiser on them.

    Only the noise that a scan lacks is added: it has some already.
    """
    if task is None:
        raise UsageError("no task was named", hint=f"Add --task with one of {', '.join(TASKS)}.")
    chosen = get_task(task)
    talk = Talk(quiet, verbose, not no_progress, log_file, debug)
    with talking(talk):
        from ratcli.batch.manifest import Header
        from ratcli.batch.plan import Selection, find_jobs
        from ratcli.batch.pool import threads_each
        from ratcli.batch.session import Batch, BatchSettings
        from ratcli.batch.simulating import SimulateWork, simulate_header
        from ratcli.cli.batching import run_batch, tell_plan
        from ratcli.formats.limits import DEFAULT_MAX_PIXELS
        from ratcli.physics import Degradation

        plan = find_jobs(inputs, Selection("_simulated", output, recursive, series_uid))
        work = SimulateWork(
            chosen,
            Degradation(dose, seed, scan_noise, kernel.value, counts),
            unit,
            spacing,
            max_pixels or DEFAULT_MAX_PIXELS,
            threads or threads_each(jobs),
        )
        how = BatchSettings(
            if_exists=if_exists.value,
            manifest=manifest,
            resume=resume,
            processes=jobs,
            scheduler=scheduler,
            fail_fast=fail_fast,
        )
        header = simulate_header(work) if manifest is not None else Header()
        run = tell_plan if dry_run else run_batch
        run(Batch(plan, header, how), work, talk, as_json=as_json)
