"""Options that several commands share, with one wording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TALK = "Messages"

Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT",
        help="Files, folders, or zip archives of a series.",
        show_default=False,
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Search the folders inside a folder too.")
]
SeriesUid = Annotated[
    str | None,
    typer.Option("--series-uid", metavar="UID", help="Only this DICOM series.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a result, on stdout.")]
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
        rich_help_panel=TALK,
        show_default=False,
    ),
]


def examples(*lines: tuple[str, str]) -> str:
    """Return the end of a command's help: pairs of a command line and what it does."""
    return "\n\n".join(
        ["Examples:", *(f"[bold]{line}[/bold]  {meaning}" for line, meaning in lines)]
    )
