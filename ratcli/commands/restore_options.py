"""The options of `rat restore`, and the settings of the pipeline that they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ratcli.commands.options import option
from ratcli.commands.scans import (
    CACHE_HELP,
    DEVICE_HELP,
    PARTITION_HELP,
    SPEED,
    BatchOptions,
    WindowOptions,
    partition_names,
    task_names,
    threads_option,
)
from ratcli.errors import UsageError
from ratcli.network.settings import EngineSettings, Precision
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.settings import VIEWS, Context, NoiseTarget
from ratcli.task import Task
from ratcli.tasks import TASKS, get_task

STRENGTHS = {"low": 0.4, "medium": 0.7, "high": 1.0}
"""Strengths by name."""

AIM = "Strength from the noise of a CT scan"
OUTPUTS = "What is written"
NETWORK = "Network and regions"


def parse_strength(text: str) -> float:
    """Return the strength that a name or a number stands for.

    Raises:
        UsageError: it is neither.
    """
    if text in STRENGTHS:
        return STRENGTHS[text]
    return _number("strength", text, f"{', '.join(STRENGTHS)}, or a number from 0 to 1")


def parse_noise(text: str) -> float:
    """Return a noise in HU, given with or without the unit.

    Raises:
        UsageError: it is no number, or in another unit.
    """
    return _number("target-noise", text.strip().removesuffix("HU"), "a number in HU, such as 15HU")


def _number(word: str, text: str, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{word} must be {expected}, not '{text}'")
    return number


@dataclass(frozen=True, kw_only=True)
class RestoreOptions(WindowOptions, BatchOptions):
    """How `rat restore` works; its fields are the options of the command line."""

    task: str | None = option(
        None,
        f"What to do: {', '.join(TASKS)}. Without it, rat finds the task that fits each scan, or "
        "takes that of the weights.",
        short="t", metavar="TASK", names=task_names, changes_pixels=True,
    )  # fmt: skip
    strength: float = option(
        RestoreSettings.strength,
        "How much of the restoration to apply: low (0.4), medium (0.7), high (1), or a number from "
        "0 (unchanged) to 1 (full).",
        least=0, most=1, metavar="S", parse=parse_strength, changes_pixels=True,
    )  # fmt: skip
    target_noise: float | None = option(
        None,
        "CT: choose the strength so that this noise is left in soft tissue, such as 15HU. It is "
        "measured over the whole series, which gets one strength.",
        least=0.1, metavar="HU", parse=parse_noise, group=AIM, changes_pixels=True,
    )  # fmt: skip
    dose_equivalent: float | None = option(
        None,
        "CT: choose the strength so that the noise is that of this many times the dose of the "
        "scan: 4 halves the noise. One strength for the whole series.",
        least=1, metavar="TIMES", group=AIM, changes_pixels=True,
    )  # fmt: skip
    report: Path | None = option(
        None,
        "Write a report: a file for one scan, .html, .pdf, or .dcm (the PDF inside DICOM, in the "
        "study of the scan); a folder with an index for several.",
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
    context: Context = option(
        RestoreSettings.context,
        "Neighbouring planes of a series that help to restore each plane: auto uses as many as "
        "the weights have learned to use, none restores each plane alone.",
        group=NETWORK, changes_pixels=True,
    )  # fmt: skip
    threads: int = threads_option()
    precision: Precision = option(
        "auto",
        "Precision of the multiplications in the network. mixed uses bfloat16 for attention (at "
        "most 1 HU from fp32), bf16 everywhere (several HU). auto, the default, is mixed where the "
        "processor or GPU is faster with it, else fp32.",
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


def possible_tasks(options: RestoreOptions) -> tuple[Task, ...]:
    """Return the task that was named, or else that of the weights, or else all.

    Raises:
        UsageError: there is no such task.
        WeightsError: there are no such weights.
    """
    from ratcli.network.registry import find_weights

    if options.task is None and options.weights:
        return (get_task(find_weights(options.weights[0]).task),)
    return tuple(TASKS.values()) if options.task is None else (get_task(options.task),)


def restore_settings(options: RestoreOptions, task: Task) -> RestoreSettings:
    """Return the settings of the pipeline for a task.

    Raises:
        UsageError: options contradict each other.
    """
    from ratcli.batch.pool import threads_each

    return RestoreSettings(
        task=task,
        partition=options.partition or "",
        weights=options.weights,
        strength=options.strength,
        target=_target(options),
        views=options.views or (VIEWS if options.uncertainty else 1),
        pane_overlap=options.pane_overlap,
        context=options.context,
        engine=EngineSettings(
            device=options.device,
            threads=options.threads or threads_each(options.jobs),
            precision=options.precision,
            tile=options.tile,
            compile=options.compile,
        ),
    )


def _target(options: RestoreOptions) -> NoiseTarget | None:
    """Return the noise that decides the strength, if one is wanted.

    Raises:
        UsageError: the strength is decided twice.
    """
    if options.target_noise is None and options.dose_equivalent is None:
        return None
    if None not in (options.target_noise, options.dose_equivalent) or options.strength != 1:
        raise UsageError(
            "the strength is given more than once",
            hint="Give one of --strength, --target-noise and --dose-equivalent.",
        )
    return NoiseTarget(options.target_noise, options.dose_equivalent)
