"""`rat weights`: what is installed, where, whether it is whole; and how to get more."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ratcli.cli import options
from ratcli.cli.console import LOG, Download, Talk, say, table, talking
from ratcli.errors import UsageError, WeightsError

app = typer.Typer(add_completion=False)

Name = Annotated[
    str | None, typer.Argument(help="Name of the weights; all without.", show_default=False)
]


@app.callback(invoke_without_command=True)
def _weights(context: typer.Context) -> None:
    """Show the installed weights, where they are, whether they are whole; get more."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(
    "list",
    epilog=options.examples(
        ("rat weights list", "a table"), ("rat weights list --json", "with SHA-256, for a script")
    ),
)
def list_installed(as_json: options.Json = False, debug: options.Debug = False) -> None:
    """List the installed weights, and those that can be downloaded."""
    with talking(Talk(debug=debug)):
        known = _known()
    if as_json:
        say("\n".join(json.dumps({**asdict(each), "file": str(each.file)}) for each in known))
        return
    rows = [(each.name, each.use, _size(each.file), each.licence, each.summary) for each in known]
    say(table(("name", "for", "size", "licence", "summary"), rows))


@app.command(
    epilog=options.examples(
        ("rat weights path", "the folders that are searched; RAT_HOME adds one"),
        ("rat weights path ct-denoise", "one file"),
    )
)
def path(name: Name = None, debug: options.Debug = False) -> None:
    """Print the folders that are searched for weights, or the file of one."""
    from ratcli.weightfiles import weights_folders

    with talking(Talk(debug=debug)):
        if name is not None:
            say(str(_find(name).file))
            return
        say("\n".join(map(str, weights_folders())))


@app.command(
    epilog=options.examples(
        ("rat weights verify", "all that are installed; exit code 7 if one is damaged"),
        ("rat weights verify ct-denoise", "one"),
    )
)
def verify(name: Name = None, debug: options.Debug = False) -> None:
    """Compare the weights with their SHA-256."""
    with talking(Talk(debug=debug)):
        wanted = [_find(name)] if name is not None else [w for w in _known() if w.is_expected]
        damaged = [each for each in wanted if not _is_whole(each)]
    if damaged:
        raise WeightsError(
            f"{len(damaged)} of {len(wanted)} weights are damaged or missing",
            hint="Install rat again, or download or import them anew.",
        )


@app.command(
    epilog=options.examples(("rat weights download sam-vit-b", "358 MB, from its publisher"))
)
def download(
    name: Annotated[str, typer.Argument(help="Name of the weights, as `sam-vit-b`.")],
    no_progress: options.NoProgress = False,
    debug: options.Debug = False,
) -> None:
    """Fetch weights that do not come with rat. No other command touches the network."""
    from ratcli.partition.sam_weights import CHECKPOINTS, download_checkpoint

    with talking(Talk(debug=debug)):
        checkpoint = CHECKPOINTS[_find(name, among=CHECKPOINTS).name]
        with Download(checkpoint.file, checkpoint.size, shown=not no_progress) as bar:
            file = download_checkpoint(checkpoint, progress=bar)
        say(str(file))


@app.command(
    "import",
    epilog=options.examples(
        ("rat weights import sam_vit_b_01ec64.pth", "a file that was copied here"),
        ("rat weights import rat.pth --task ct-denoise --name theirs", "the authors' network"),
        ("rat restore scan.dcm -t ct-denoise --weights theirs", "uses it"),
    ),
)
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A SAM checkpoint, or with --task a network.")
    ],
    task: options.TaskName = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What the network shall be called.", show_default=False),
    ] = None,
    heads: Annotated[int, typer.Option("--heads", min=1, help="Its attention heads.")] = 8,
    window: Annotated[int, typer.Option("--window", min=1, help="Its attention windows.")] = 4,
    debug: options.Debug = False,
) -> None:
    """Copy weights into the weights' folder.

    The SHA-256 of a SAM checkpoint tells which it is. A network, the authors' `.pth` or
    safetensors of `rat`, needs --task and --name.
    """
    if (task is None) != (name is None):
        raise UsageError("a network needs a --task and a --name", hint="Give both, or none for SAM")
    with talking(Talk(debug=debug)):
        if task is not None and name is not None:
            from ratcli.cli.importing import Import, import_network

            say(str(import_network(Import(file, task, name, heads, window))))
        else:
            _import_sam(file)


def _import_sam(file: Path) -> None:
    from ratcli.partition.sam_weights import import_checkpoint

    try:
        checkpoint, copied = import_checkpoint(file)
    except WeightsError as error:
        raise WeightsError(
            str(error), hint=f"{error.hint} For a network, add --task and --name."
        ) from error
    LOG.info("%s is %s", file.name, checkpoint.name)
    say(str(copied))


@dataclass(frozen=True)
class Known:
    """Weights that rat can use.

    Attributes:
        name: as on the command line.
        use: the task, or `partition`.
        file: where they are, or would be.
        sha256: hash of the file.
        licence: SPDX identifier.
        summary: one line.
        is_expected: whether they are to be there: shipped with rat, or downloaded.
    """

    name: str
    use: str
    file: Path
    sha256: str
    licence: str
    summary: str
    is_expected: bool


def _known() -> list[Known]:
    from ratcli.network.registry import list_weights
    from ratcli.partition.sam_weights import CHECKPOINTS
    from ratcli.weightfiles import is_there, user_folder

    registered = [
        Known(e.name, e.task, e.file, e.sha256, e.licence, e.summary, is_expected=True)
        for e in list_weights()
    ]
    registered += _known_compact()
    for checkpoint in CHECKPOINTS.values():
        file = user_folder() / checkpoint.file
        summary = "Segment Anything, by `rat weights download`"
        registered.append(
            Known(
                checkpoint.name,
                "partition",
                file,
                checkpoint.sha256,
                "Apache-2.0",
                summary,
                is_there(file),
            )
        )
    return registered


def _known_compact() -> list[Known]:
    """Return the compact SAM, where it is installed and registered."""
    from ratcli.partition.sam_installed import installed_compact, registered_facts

    file = installed_compact()
    facts = registered_facts(file) if file is not None else {}
    if file is None or not facts:
        return []
    sha256, licence, summary = (str(facts[key]) for key in ("sha256", "licence", "summary"))
    return [Known("sam-compact", "partition", file, sha256, licence, summary, is_expected=True)]


def _find(name: str, among: Collection[str] | None = None) -> Known:
    known = {each.name: each for each in _known() if among is None or each.name in among}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
    raise WeightsError(f"there are no weights named '{name}'", hint=hint)


def _is_whole(each: Known) -> bool:
    """Compare a file with its hash, and say what was found."""
    from ratcli.weightfiles import hash_file

    found = hash_file(each.file) if each.file.is_file() else ""
    whole = found == each.sha256
    told = "whole" if whole else "damaged" if found else "missing"
    say(f"{each.name}: {told}, SHA-256 {found or each.sha256}")
    return whole


def _size(file: Path) -> str:
    from ratcli.weightfiles import is_there

    return f"{file.stat().st_size / 1e6:.1f} MB" if is_there(file) else "-"
