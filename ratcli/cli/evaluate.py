"""`rat evaluate`: what a restoration changed, kept and may have got wrong, in figures."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ratcli.cli import options
from ratcli.cli.config import Config
from ratcli.cli.console import Talk, talking

app = typer.Typer(add_completion=False)

MEASURE = "What is measured"


class Protocol(str, Enum):
    """How fidelity is scored."""

    NATIVE = "native"
    RAT_PAPER = "rat-paper"


class Patient(str, Enum):
    """What counts as one patient."""

    SCAN = "scan"
    FOLDER = "folder"


Restored = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESTORED", help="Restored files, folders or series.", show_default=False
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        metavar="PATH",
        help="What they should look like: a scan, or a folder with one for each.",
        show_default=False,
    ),
]
Low = Annotated[
    Path | None,
    typer.Option(
        "--input",
        metavar="PATH",
        help="What they were made from: a scan, or a folder with one for each.",
        show_default=False,
    ),
]
Uncertainty = Annotated[
    Path | None,
    typer.Option(
        "--uncertainty",
        metavar="PATH",
        help="Standard deviations that `rat restore --uncertainty` wrote.",
        show_default=False,
    ),
]
Regions = Annotated[
    Path | None,
    typer.Option(
        "--regions",
        metavar="FILE",
        help="Measure in these regions: JSON with discs and boxes, or a region map (NIfTI, TIFF, "
        "DICOM SEG). Without it, regions are found.",
        rich_help_panel=MEASURE,
        show_default=False,
    ),
]
Windows = Annotated[
    list[str] | None,
    typer.Option(
        "--window",
        metavar="WINDOW",
        help="Score in this window: ct-full, ct-soft, ct-lung, pet-full, pet-tissue, rgb, rgb-y, "
        "or LOW,HIGH as --window=-100,300. May be given again.",
        rich_help_panel=MEASURE,
        show_default=False,
    ),
]
Baselines = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        metavar="METHOD",
        help="Score this method on the input too: gaussian, nl-means, total-variation, bm3d, or "
        "a JSON file with tuned settings. May be given again.",
        rich_help_panel=MEASURE,
        show_default=False,
    ),
]
Scoring = Annotated[
    Protocol,
    typer.Option(
        "--protocol",
        help="rat-paper: 8-bit luma of one window, comparable with the paper's tables alone.",
        rich_help_panel=MEASURE,
    ),
]
Phantom = Annotated[
    bool,
    typer.Option(
        "--phantom",
        help="The scan is a round phantom: measure uniformity, and resolution at its edges.",
        rich_help_panel=MEASURE,
    ),
]
SuvFactor = Annotated[
    float | None,
    typer.Option(
        "--suv-factor",
        min=0.0,
        metavar="F",
        help="SUV for each Bq/ml. Without it, the file's own, where it tells.",
        rich_help_panel=MEASURE,
        show_default=False,
    ),
]
Grouping = Annotated[
    Patient,
    typer.Option(
        "--patient",
        help="What counts as one patient in means and intervals over several scans.",
        rich_help_panel=MEASURE,
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        help="Write a row for each plane and region.",
        show_default=False,
    ),
]


@app.command(
    epilog=options.examples(
        ("rat evaluate out.dcm --input low.dcm", "noise, regions, and what was taken away"),
        ("rat evaluate out.nii --reference full.nii --unit HU --report r.html", "one page"),
        ("rat evaluate out/ --reference full/ --input low/ --csv all.csv", "every scan"),
        ("rat evaluate water.dcm --phantom --json", "a phantom, for a script"),
    )
)
def evaluate(
    restored: Restored,
    reference: Reference = None,
    low: Low = None,
    regions: Regions = None,
    uncertainty: Uncertainty = None,
    windows: Windows = None,
    baselines: Baselines = None,
    protocol: Scoring = Protocol.NATIVE,
    phantom: Phantom = False,
    suv_factor: SuvFactor = None,
    patient: Grouping = Patient.SCAN,
    unit: options.Unit = None,
    max_pixels: options.MaxPixels = None,
    recursive: options.Recursive = False,
    as_json: options.Json = False,
    csv: Csv = None,
    report: options.Report = None,
    if_exists: options.IfThere = options.IfExists.ERROR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
    no_progress: options.NoProgress = False,
    log_file: options.LogFile = None,
    config: Config = None,
) -> None:
    """Measure restored scans: fidelity, noise, resolution, region means, what was taken away."""
    talk = Talk(quiet, verbose, not no_progress, log_file, debug)
    with talking(talk):
        from ratcli.cli.comparing import Asked, Others
        from ratcli.cli.evaluating import Outputs, evaluate_scans
        from ratcli.formats.limits import DEFAULT_MAX_PIXELS

        evaluate_scans(
            restored,
            Others(reference, low, uncertainty, regions),
            Asked(
                tuple(windows or ()),
                tuple(baselines or ()),
                protocol.value,
                phantom,
                suv_factor,
                unit,
                recursive,
                max_pixels or DEFAULT_MAX_PIXELS,
            ),
            Outputs(as_json, csv, report, if_exists.value, patient.value),
            talk,
        )
