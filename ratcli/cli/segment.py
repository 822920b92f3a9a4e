"""`rat segment` on the command line."""

from __future__ import annotations

from pathlib import Path

from ratcli.cli.console import ConsoleOptions
from ratcli.cli.listener import ConsoleListener
from ratcli.cli.parameters import Verb, app_of
from ratcli.commands.segment import SegmentOptions, segment


def _run(inputs: list[Path], options: SegmentOptions, console: ConsoleOptions) -> None:
    segment(inputs, options, listener=ConsoleListener(console))


app = app_of(
    Verb(
        SegmentOptions,
        _run,
        "Find the regions of scans, and write a region map on the grid of each scan.",
        (
            ("rat segment scan.dcm", "writes scan_regions.dcm, a DICOM SEG, beside it"),
            ("rat segment ct.nii.gz --unit HU --preview --table", "with pictures, table"),
            (
                "rat segment series/ --propagate -o r.dcm",
                "the same numbers in all planes",
            ),
            ("rat restore scan.dcm -t ct-denoise --regions my.dcm", "uses your regions"),
        ),
    )
)
