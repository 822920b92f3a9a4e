"""`rat evaluate` on the command line."""

from __future__ import annotations

from pathlib import Path

from ratcli.cli.console import ConsoleOptions
from ratcli.cli.parameters import Argument, Verb, app_of
from ratcli.commands.evaluate import EvaluateOptions


def _run(restored: list[Path], options: EvaluateOptions, console: ConsoleOptions) -> None:
    from ratcli.cli.evaluating import Outputs, evaluate_scans
    from ratcli.commands.comparing import Asked, Others

    evaluate_scans(
        restored,
        Others(options.reference, options.input, options.uncertainty, options.regions),
        Asked(
            options.window,
            options.baseline,
            options.protocol,
            options.phantom,
            options.suv_factor,
            options.unit,
            options.recursive,
            options.max_pixels,
        ),
        Outputs(console.json, options.csv, options.report, options.if_exists, options.patient),
        console,
    )


app = app_of(
    Verb(
        EvaluateOptions,
        _run,
        "Measure restored scans: fidelity, noise, resolution, region means, what was taken away.",
        (
            ("rat evaluate out.dcm --input low.dcm", "noise, regions, and what was taken away"),
            ("rat evaluate out.nii --reference full.nii --unit HU --report r.html", "one page"),
            ("rat evaluate out/ --reference full/ --input low/ --csv all.csv", "every scan"),
            ("rat evaluate water.dcm --phantom --json", "a phantom, for a script"),
        ),
        Argument("RESTORED", "Restored files, folders or series.", list[Path]),
    )
)
