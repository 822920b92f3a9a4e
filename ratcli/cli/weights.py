"""`rat weights` on the command line: list, path, verify, download, import."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from ratcli.cli.console import LOG, ConsoleOptions, Download, say, table
from ratcli.cli.parameters import (
    Argument,
    NoOptions,
    PlainCommand,
    PlainGroup,
    Verb,
    epilog,
    function_of,
)
from ratcli.commands.weights import (
    ImportOptions,
    find_known,
    import_weights,
    known_weights,
    verify,
)
from ratcli.errors import WeightsError
from ratcli.weightfiles import is_there, weights_folders

app = typer.Typer(cls=PlainGroup, add_completion=False)

_NAME = Argument("NAME", "Name of the weights. Without it, all.", str | None, None)


@app.callback(invoke_without_command=True)
def _weights(context: typer.Context) -> None:
    """List, check, download and import weights."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _list(_: None, _options: NoOptions, console: ConsoleOptions) -> None:
    known = known_weights()
    if console.json:
        say(*(json.dumps({**asdict(each), "file": str(each.file)}) for each in known))
        return
    rows = [(each.name, each.use, _size(each.file), each.licence, each.summary) for each in known]
    say(*table(("name", "for", "size", "licence", "summary"), rows))


def _path(name: str | None, _options: NoOptions, _console: ConsoleOptions) -> None:
    if name is not None:
        say(str(find_known(name).file))
    else:
        say(*map(str, weights_folders()))


def _verify(name: str | None, _options: NoOptions, _console: ConsoleOptions) -> None:
    found = verify(name)
    for each, state, sha256 in found:
        say(f"{each.name}: {state}, SHA-256 {sha256 or each.sha256}")
    damaged = [each for each, state, _ in found if state != "whole"]
    if damaged:
        raise WeightsError(
            f"{len(damaged)} of {len(found)} weights are damaged or missing",
            hint="Install rat again, or download or import them again.",
        )


def _download(name: str, _options: NoOptions, console: ConsoleOptions) -> None:
    from ratcli.partition.sam_weights import CHECKPOINTS, download_checkpoint

    checkpoint = CHECKPOINTS[find_known(name, among=CHECKPOINTS).name]
    shown = not console.no_progress
    with Download(checkpoint.file, checkpoint.size, shown=shown) as bar:
        file = download_checkpoint(checkpoint, progress=bar)
    say(str(file))


def _import(file: Path, options: ImportOptions, _console: ConsoleOptions) -> None:
    name, copied = import_weights(file, options)
    LOG.info("%s is %s", file.name, name)
    say(str(copied))


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB" if is_there(file) else "-"


def _add(
    name: str,
    run: Callable[[Any, Any, ConsoleOptions], object],
    help: str,
    examples: tuple[tuple[str, str], ...],
    argument: Argument | None = None,
    options: type = NoOptions,
) -> None:
    verb = Verb(options, run, help, examples, argument)
    app.command(name, cls=PlainCommand, help=help, epilog=epilog(examples))(function_of(verb))


_add(
    "list",
    _list,
    "List the installed weights, and those that can be downloaded.",
    (("rat weights list", "a table"), ("rat weights list --json", "with SHA-256, for a script")),
)
_add(
    "path",
    _path,
    "Print the folders in which rat looks for weights, or the file of some weights.",
    (
        ("rat weights path", "the folders; RAT_HOME adds one"),
        ("rat weights path ct-denoise", "one file"),
    ),
    _NAME,
)
_add(
    "verify",
    _verify,
    "Compare the weights with their SHA-256.",
    (
        ("rat weights verify", "all; exit code 7 if a file is damaged"),
        ("rat weights verify ct-denoise", "one"),
    ),
    _NAME,
)
_add(
    "download",
    _download,
    "Download weights that are not part of rat. No other command uses the internet.",
    (("rat weights download sam-vit-b", "358 MB, from the publisher"),),
    Argument("NAME", "Name of the weights, such as sam-vit-b.", str),
)
_add(
    "import",
    _import,
    "Copy weights into the folder where rat keeps yours. A SAM checkpoint is recognised by its "
    "SHA-256. A network (the authors' .pth, or safetensors of rat) needs --task and --name.",
    (
        ("rat weights import sam_vit_b_01ec64.pth", "a SAM checkpoint"),
        ("rat weights import rat.pth --task ct-denoise --name theirs", "a network"),
        ("rat restore scan.dcm -t ct-denoise --weights theirs", "uses it"),
    ),
    Argument("FILE", "A SAM checkpoint, or with --task a network.", Path),
    ImportOptions,
)
