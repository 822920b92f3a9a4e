"""`rat export` on the command line."""

from __future__ import annotations

import json
from dataclasses import asdict

from ratcli.cli.console import LOG, ConsoleOptions, say
from ratcli.cli.parameters import Argument, Verb, app_of
from ratcli.commands.export import ExportOptions, export


def _run(weights: str, options: ExportOptions, console: ConsoleOptions) -> None:
    manifest = export(weights, options)
    LOG.info("the model differs from torch by at most %.1g", manifest.largest_difference)
    say(json.dumps(asdict(manifest)) if console.json else str(options.onnx))


app = app_of(
    Verb(
        ExportOptions,
        _run,
        "Write an installed network as an ONNX model, for programs that have no torch.",
        (
            ("rat export ct-denoise --onnx ct.onnx", "and ct.json, which says how to use it"),
            ("rat export ct-denoise --onnx ct.onnx --with-regions", "regions as an input"),
        ),
        Argument("WEIGHTS", "Name of the weights, as `rat weights list` shows it.", str),
    )
)
