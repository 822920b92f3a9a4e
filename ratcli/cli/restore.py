"""`rat restore` on the command line."""

from __future__ import annotations

from pathlib import Path

from ratcli.cli.console import ConsoleOptions
from ratcli.cli.listener import ConsoleListener
from ratcli.cli.parameters import Verb, app_of
from ratcli.commands.restore import restore
from ratcli.commands.restore_options import RestoreOptions


def _run(inputs: list[Path], options: RestoreOptions, console: ConsoleOptions) -> None:
    restore(inputs, options, listener=ConsoleListener(console))


app = app_of(
    Verb(
        RestoreOptions,
        _run,
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
)
