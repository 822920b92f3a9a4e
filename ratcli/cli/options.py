"""Options that several commands share, with one wording."""

from __future__ import annotations

import difflib
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ratcli.errors import UsageError
from ratcli.tasks import TASKS

BATCH = "Batches"
MODEL = "Model"
SPEED = "Device and speed"
TALK = "Messages"


class IfExists(str, Enum):
    """What to do about an output that is there."""

    ERROR = "error"
    SKIP = "skip"
    OVERWRITE = "overwrite"


class Compression(str, Enum):
    """How slides are compressed."""

    LOSSLESS = "lossless"
    JPEG = "jpeg"


class Precision(str, Enum):
    """Arithmetic of the network."""

    FP32 = "fp32"
    BF16 = "bf16"


def examples(*lines: tuple[str, str]) -> str:
    """Return the end of a command's help: pairs of a command line and what it does."""
    return "\n\n".join(["Examples:", *(f"[bold]{line}[/bold]  # {text}" for line, text in lines)])


def check_partition(name: str) -> None:
    """Refuse a partition that cannot be computed, before anything is read.

    Raises:
        UsageError: there is none of that name; the hint has the nearest, or all.
    """
    names = partition_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(names)}."
        raise UsageError(f"there is no partition '{name}'", hint=hint)


def partition_names() -> list[str]:
    """Return the names of all partitions."""
    from ratcli.partition import PARTITIONS

    return list(PARTITIONS)


def _task_names(incomplete: str) -> list[tuple[str, str]]:
    return [(t.name, t.summary) for t in TASKS.values() if t.name.startswith(incomplete)]


def _partition_names(incomplete: str) -> list[str]:
    return [name for name in partition_names() if name.startswith(incomplete)]


def _not_an_option(path: Path | None) -> Path | None:
    """Refuse `--report -o out`, which would write a folder named `-o`."""
    if path is not None and str(path).startswith("-"):
        raise UsageError(
            f"a path is missing before {path}", hint="For a file of that name, give its whole path."
        )
    return path


# What is read and written.

Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT",
        help="Files, folders, or zip archives of a series.",
        show_default=False,
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        "-t",
        metavar="TASK",
        help=f"What to do: {', '.join(TASKS)}.",
        autocompletion=_task_names,
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="A file for one input file, else a folder in which the inputs' tree is kept. "
        "Without it, outputs stand beside the inputs.",
        callback=_not_an_option,
        show_default=False,
    ),
]
IfThere = Annotated[
    IfExists, typer.Option("--if-exists", help="What to do about an output that is there.")
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Search the folders inside a folder too.")
]
SeriesUid = Annotated[
    str | None,
    typer.Option("--series-uid", metavar="UID", help="Only this DICOM series.", show_default=False),
]
Unit = Annotated[
    str | None,
    typer.Option(
        "--unit",
        metavar="UNIT",
        help="Unit of the values where a file does not tell it: HU, SUV or Bq/ml.",
        show_default=False,
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        min=1,
        metavar="N",
        help="Decode planes of at most N pixels.",
        show_default=False,
    ),
]
SaveResidual = Annotated[
    bool, typer.Option("--save-residual", help="Write what was removed too, beside the output.")
]
Uncertainty = Annotated[
    bool,
    typer.Option(
        "--uncertainty",
        help="Write the standard deviation of each pixel too, beside the output; takes 8 views, "
        "of each of several --weights.",
    ),
]
Compressed = Annotated[
    Compression,
    typer.Option(
        "--compression",
        help="Of TIFF and SVS outputs in RGB of 8 bits. jpeg is smaller, and loses some: 4:4:4.",
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        "--quality",
        min=1,
        max=100,
        metavar="Q",
        help="Of JPEG: 1 to 100. Without it, 90.",
        show_default=False,
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="PATH",
        help="Write an HTML report: a file for one scan, or a folder, which gets an index.",
        callback=_not_an_option,
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a result, on stdout.")]

# The network.

Strength = Annotated[
    float,
    typer.Option(
        "--strength",
        min=0.0,
        max=1.0,
        metavar="S",
        help="1: restored; 0: as it was.",
        rich_help_panel=MODEL,
    ),
]
Views = Annotated[
    int | None,
    typer.Option(
        "--views",
        metavar="N",
        help="8: average the plane turned and mirrored, better and 8 times as slow.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Partition = Annotated[
    str | None,
    typer.Option(
        "--partition",
        metavar="NAME",
        help="How regions are found. Without it, the task's way.",
        autocompletion=_partition_names,
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Keep partitions there, and take those that are there.",
        callback=_not_an_option,
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
RegionMap = Annotated[
    Path | None,
    typer.Option(
        "--regions",
        metavar="FILE",
        help="Take this region map instead of finding regions.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="NAME",
        help="Weights of that name. Without it, the task's. Given again: the mean of them all.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:1 or mps; only auto falls back.",
        rich_help_panel=SPEED,
    ),
]
Threads = Annotated[
    int,
    typer.Option("--threads", min=0, metavar="N", help="Threads; 0: all.", rich_help_panel=SPEED),
]
Arithmetic = Annotated[
    Precision, typer.Option("--precision", help="Arithmetic.", rich_help_panel=SPEED)
]
Tile = Annotated[
    int,
    typer.Option(
        "--tile",
        min=0,
        metavar="N",
        help="Tiles of N pixels on a GPU, to fit its memory; the result stays. 0: whole planes.",
        rich_help_panel=SPEED,
    ),
]
TileOverlap = Annotated[
    int | None,
    typer.Option(
        "--tile-overlap",
        min=0,
        metavar="N",
        help="Pixels that the panes of --memory share.",
        rich_help_panel=SPEED,
        show_default=False,
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Keep within 4GB, say: cuts planes that do not fit.",
        rich_help_panel=SPEED,
        show_default=False,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the network: faster after a minute's start.",
        rich_help_panel=SPEED,
    ),
]

# Batches.

Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Processes.", rich_help_panel=BATCH)
]
Scheduler = Annotated[
    str,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Send the files to a Dask cluster, as tcp://host:8786.",
        rich_help_panel=BATCH,
        show_default=False,
    ),
]
ManifestFile = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        help="Write versions, settings and what became of each file there.",
        rich_help_panel=BATCH,
        callback=_not_an_option,
        show_default=False,
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with the manifest's batch.", rich_help_panel=BATCH),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be done.", rich_help_panel=BATCH)
]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel=BATCH)
]

# Messages.

Debug = Annotated[
    bool, typer.Option("--debug", help="Show tracebacks and warnings.", rich_help_panel=TALK)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Tell errors only.", rich_help_panel=TALK)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Tell details too.", rich_help_panel=TALK)
]
NoProgress = Annotated[
    bool, typer.Option("--no-progress", help="No progress bar.", rich_help_panel=TALK)
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log-file",
        metavar="FILE",
        help="Write every detail there, with the time.",
        callback=_not_an_option,
        rich_help_panel=TALK,
        show_default=False,
    ),
]
