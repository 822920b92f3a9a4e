"""`rat evaluate` on the command line."""

from __future__ import annotations

from pathlib import Path

from ratcli.cli.console import ConsoleOptions
from ratcli.cli.parameters import Argument, Verb, app_of
from ratcli.commands.evaluate import EvaluateOptions, evaluate


def _run(restored: list[Path], options: EvaluateOptions, console: ConsoleOptions) -> None:
    from ratcli.cli.evaluating import FigureListener

    evaluate(restored, options, listener=FigureListener(console))


app = app_of(
    Verb(
        EvaluateOptions,
        _run,
        "Measure restored scans: fidelity, noise, resolution, region means and the residual.",
        (
            ("rat evaluate out.dcm --input low.dcm", "noise, regions and residual"),
            ("rat evaluate out.dcm --reference full.dcm --report page.html", "with a report"),
            ("rat evaluate out/ --reference full/ --input low/ --csv all.csv", "every scan"),
            ("rat evaluate water.dcm --phantom --json", "a phantom, for a script"),
        ),
        Argument("RESTORED", "Restored files, folders or series.", list[Path]),
    )
)
