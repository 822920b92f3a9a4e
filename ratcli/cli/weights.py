"""`rat weights`: what is installed, where, and whether it is whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ratcli.cli import options
from ratcli.cli.console import Talk, say, table, talking
from ratcli.errors import WeightsError

app = typer.Typer(add_completion=False)

Name = Annotated[
    str | None, typer.Argument(help="Name of the weights; all without.", show_default=False)
]


@app.callback(invoke_without_command=True)
def _weights(context: typer.Context) -> None:
    """Show the installed weights, where they are, and whether they are whole."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(
    "list",
    epilog=options.examples(
        ("rat weights list", "a table"), ("rat weights list --json", "with SHA-256, for a script")
    ),
)
def list_installed(as_json: options.Json = False, debug: options.Debug = False) -> None:
    """List the installed weights."""
    from ratcli.network.registry import list_weights

    with talking(Talk(debug=debug)):
        entries = list_weights()
    if as_json:
        for entry in entries:
            say(json.dumps(asdict(entry), default=str))
        return
    rows = [
        (entry.name, entry.task, _size(entry.file), entry.licence, entry.summary)
        for entry in entries
    ]
    say(table(("name", "task", "size", "licence", "summary"), rows))


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB" if file.is_file() else "missing"


@app.command(
    epilog=options.examples(
        ("rat weights path", "the folders that are searched; RAT_HOME adds one"),
        ("rat weights path ct-denoise", "one file"),
    )
)
def path(name: Name = None, debug: options.Debug = False) -> None:
    """Print the folders that are searched for weights, or the file of one."""
    from ratcli.network.registry import find_weights, weights_folders

    with talking(Talk(debug=debug)):
        paths = weights_folders() if name is None else [find_weights(name).file]
    say("\n".join(map(str, paths)))


@app.command(
    epilog=options.examples(
        ("rat weights verify", "all; exit code 7 if one is damaged"),
        ("rat weights verify ct-denoise", "one"),
    )
)
def verify(name: Name = None, debug: options.Debug = False) -> None:
    """Compare the weights with their SHA-256."""
    from ratcli.network.registry import find_weights, list_weights, verify_weights

    with talking(Talk(debug=debug)):
        entries = list_weights() if name is None else [find_weights(name)]
        damaged = []
        for entry in entries:
            try:
                verify_weights(entry)
                say(f"{entry.name}: whole, SHA-256 {entry.sha256}")
            except WeightsError as error:
                damaged.append(str(error))
                say(f"{entry.name}: {error}")
        if damaged:
            raise WeightsError(f"{len(damaged)} of {len(entries)} weights are damaged or missing")
