"""`rat restore`, `rat segment`, `rat evaluate` and `rat simulate` on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from ratcli.cli.console import ConsoleOptions
from ratcli.cli.listener import ConsoleListener
from ratcli.cli.parameters import SCANS, Argument, Verb, app_of
from ratcli.commands.evaluate import EvaluateOptions, evaluate
from ratcli.commands.restore import restore
from ratcli.commands.restore_options import RestoreOptions
from ratcli.commands.segment import SegmentOptions, segment
from ratcli.commands.simulate import SimulateOptions, simulate


def _figures(console: ConsoleOptions) -> ConsoleListener:
    from ratcli.cli.evaluating import FigureListener

    return FigureListener(console)


def _app(
    options: type,
    work: Callable[..., object],
    help: str,
    examples: Sequence[tuple[str, str]],
    argument: Argument = SCANS,
    listener: Callable[[ConsoleOptions], ConsoleListener] = ConsoleListener,
) -> typer.Typer:
    """Return the application of a command that works on scans."""

    def run(scans: Sequence[Path], settled: object, console: ConsoleOptions) -> None:
        work(scans, settled, listener=listener(console))

    return app_of(Verb(options, run, help, examples, argument))


restore_app = _app(
    RestoreOptions,
    restore,
    "Restore scans. Each result has the format and the geometry of its input.",
    (
        ("rat restore scan.dcm --task ct-denoise", "writes scan_ct-denoise.dcm beside it"),
        ("rat restore study/ -r -o out/", "a folder and its subfolders, each by its task"),
        ("rat restore a.nii.gz -t ct-denoise --strength 0.6 -o b.nii.gz", "applies 60 %"),
        ("rat restore in/ -t ct-denoise -o out/ --manifest m.json --resume", "continues"),
        ("rat restore scan.dcm -t ct-denoise --report scan.html", "with a report"),
        ("rat restore slide.svs -t pathology-sr --compression jpeg", "smaller, with loss"),
    ),
)

segment_app = _app(
    SegmentOptions,
    segment,
    "Find the regions of scans, and write a region map on the grid of each scan.",
    (
        ("rat segment scan.dcm", "writes scan_regions.dcm, a DICOM SEG, beside it"),
        ("rat segment ct.nii.gz --unit HU --preview --table", "with pictures, table"),
        ("rat segment series/ --propagate -o r.dcm", "the same numbers in all planes"),
        ("rat restore scan.dcm -t ct-denoise --regions my.dcm", "uses your regions"),
    ),
)

evaluate_app = _app(
    EvaluateOptions,
    evaluate,
    "Measure restored scans: fidelity, noise, resolution, region means and the residual.",
    (
        ("rat evaluate out.dcm --input low.dcm", "noise, regions and residual"),
        ("rat evaluate out.dcm --reference full.dcm --report page.html", "with a report"),
        ("rat evaluate out/ -r --reference full/ --csv all.csv", "every scan"),
        ("rat evaluate water.dcm --phantom --json", "a phantom, for a script"),
    ),
    Argument("RESTORED", "Restored files, folders or series.", list[Path]),
    _figures,
)

simulate_app = _app(
    SimulateOptions,
    simulate,
    "Simulate a lower dose, fewer counts or a coarser slide from good scans. "
    "A CT or PET scan already has noise: only the part that is missing is added.",
    (
        ("rat simulate scan.dcm --task ct-denoise", "a quarter of the dose"),
        ("rat simulate study/ -t ct-denoise -r --dose 0.1 -o low/", "a tenth"),
        ("rat simulate pet.nii.gz -t pet-synthesis --unit SUV --dose 0.083", "a twelfth"),
        ("rat simulate slide.tif -t pathology-sr -o small.tif", "four times as coarse"),
    ),
)
