"""`rat simulate` on the command line."""

from __future__ import annotations

from pathlib import Path

from ratcli.cli.console import ConsoleOptions
from ratcli.cli.listener import ConsoleListener
from ratcli.cli.parameters import Verb, app_of
from ratcli.commands.simulate import SimulateOptions, simulate


def _run(inputs: list[Path], options: SimulateOptions, console: ConsoleOptions) -> None:
    simulate(inputs, options, listener=ConsoleListener(console))


app = app_of(
    Verb(
        SimulateOptions,
        _run,
        "Simulate a lower dose, fewer counts or a coarser slide from good scans. "
        "A CT or PET scan already has noise: only the part that is missing is added.",
        (
            (
                "rat simulate scan.dcm --task ct-denoise",
                "a quarter of the dose",
            ),
            ("rat simulate study/ -t ct-denoise -r --dose 0.1 -o low/", "a tenth"),
            ("rat simulate pet.nii.gz -t pet-synthesis --unit SUV --dose 0.083", "a twelfth"),
            ("rat simulate slide.tif -t pathology-sr -o small.tif", "four times as coarse"),
        ),
    )
)
