"""`rat restore`: restore files, folders and series; the same format comes out."""

from __future__ import annotations

import typer

from ratcli.cli import options
from ratcli.cli.config import Config
from ratcli.cli.console import Talk, talking
from ratcli.errors import UsageError
from ratcli.tasks import TASKS, get_task

app = typer.Typer(add_completion=False)


@app.command(
    epilog=options.examples(
        ("rat restore scan.dcm --task ct-denoise", "writes scan_ct-denoise.dcm beside it"),
        ("rat restore study/ -t ct-denoise -r -o restored/", "every scan; the tree is kept"),
        ("rat restore a.nii.gz -t ct-denoise --strength 0.6 -o b.nii.gz", "a milder blend"),
        ("rat restore in/ -t ct-denoise -o out/ --manifest run.json --resume", "goes on"),
        ("rat restore scan.dcm -t ct-denoise --report scan.html", "and what was changed"),
        ("rat restore slide.svs -t pathology-sr --compression jpeg", "smaller, with loss"),
    )
)
def restore(
    inputs: options.Inputs,
    task: options.TaskName = None,
    output: options.Output = None,
    if_exists: options.IfThere = options.IfExists.ERROR,
    recursive: options.Recursive = False,
    series_uid: options.SeriesUid = None,
    unit: options.Unit = None,
    max_pixels: options.MaxPixels = None,
    save_residual: options.SaveResidual = False,
    uncertainty: options.Uncertainty = False,
    compression: options.Compressed = options.Compression.LOSSLESS,
    quality: options.Quality = None,
    report: options.Report = None,
    strength: options.Strength = 1.0,
    views: options.Views = None,
    partition: options.Partition = None,
    regions: options.RegionMap = None,
    cache: options.Cache = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    precision: options.Arithmetic = options.Precision.FP32,
    tile: options.Tile = 0,
    tile_overlap: options.TileOverlap = None,
    memory: options.Memory = "",
    compile_: options.Compile = False,
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
    """Restore scans; each comes out in its own format, with its geometry."""
    if task is None:
        raise UsageError("no task was named", hint=f"Add --task with one of {', '.join(TASKS)}.")
    get_task(task)
    if partition is not None:
        options.check_partition(partition)
    talk = Talk(quiet, verbose, not no_progress, log_file, debug)
    with talking(talk):
        from ratcli.api import RestoreOptions, restoration, restore_settings
        from ratcli.batch.pool import threads_each
        from ratcli.cli.batching import run_batch, tell_plan

        given: RestoreOptions = {
            "partition": partition or "",
            "weights": weights[0] if weights else "",
            "beside": tuple(weights[1:]) if weights else (),
            "device": device,
            "strength": strength,
            "precision": precision.value,
            "tile": tile,
            "threads": threads or threads_each(jobs),
            "views": views or (8 if uncertainty else 1),
            "compile": compile_,
        }
        if tile_overlap is not None:
            given["tile_overlap"] = tile_overlap
        batch, work = restoration(
            inputs,
            restore_settings(task, **given),
            regions=regions,
            memory=memory,
            output=output,
            if_exists=if_exists.value,
            recursive=recursive,
            series_uid=series_uid,
            unit=unit,
            max_pixels=max_pixels,
            save_residual=save_residual,
            uncertainty=uncertainty,
            compression=compression.value,
            quality=quality,
            cache=cache,
            manifest=manifest,
            resume=resume,
            jobs=jobs,
            scheduler=scheduler,
            fail_fast=fail_fast,
        )
        if dry_run:
            tell_plan(batch, work, talk, as_json=as_json)
            return
        after = None
        if report is not None:
            from ratcli.cli.restore_report import RestoreReports

            after = RestoreReports(report, batch.every_job, work, if_exists.value, talk).write
        run_batch(batch, work, talk, as_json=as_json, after=after)
