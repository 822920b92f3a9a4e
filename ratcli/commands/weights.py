"""`rat weights`: lists, checks and imports weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ratcli.commands.options import option
from ratcli.commands.scans import task_names
from ratcli.errors import UsageError, WeightsError, nearest
from ratcli.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How `rat weights import` reads a network; a SAM checkpoint needs no options."""

    task: str | None = option(
        None, f"Task of the network: {', '.join(TASKS)}.",
        short="t", metavar="TASK", names=task_names,
    )  # fmt: skip
    name: str | None = option(None, "Name under which the network is installed.", metavar="NAME")
    heads: int = option(
        8, "Number of attention heads of the network.", least=1, most=64, metavar="N"
    )
    window: int = option(
        4, "Side of the attention windows of the network, in tokens.", least=1, most=64, metavar="N"
    )


@dataclass(frozen=True)
class KnownWeights:
    """Weights that rat can use.

    Attributes:
        name: as on the command line.
        use: the task, or `partition`.
        file: where they are, or would be installed.
        sha256: hash of the file.
        licence: SPDX identifier.
        summary: one line.
        is_expected: whether the file should exist, because it ships with rat or was installed.
    """

    name: str
    use: str
    file: Path
    sha256: str
    licence: str
    summary: str
    is_expected: bool


def known_weights() -> list[KnownWeights]:
    """Return all weights that rat can use, including those that are not installed."""
    from ratcli.network.registry import list_weights
    from ratcli.partition.sam_weights import CHECKPOINTS
    from ratcli.weightfiles import is_there, user_folder

    registered = [
        KnownWeights(e.name, e.task, e.file, e.sha256, e.licence, e.summary, is_expected=True)
        for e in list_weights()
    ]
    registered += _known_compact()
    for checkpoint in CHECKPOINTS.values():
        file = user_folder() / checkpoint.file
        summary = "Segment Anything, by `rat weights download`"
        registered.append(
            KnownWeights(
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


def _known_compact() -> list[KnownWeights]:
    """Return the compact SAM, if it is installed and registered."""
    from ratcli.partition.sam_installed import NAME, installed_compact, registered

    file = installed_compact()
    entry = registered(file) if file is not None else None
    if file is None or entry is None:
        return []
    about = (entry.sha256, entry.licence, entry.summary)
    return [KnownWeights(NAME, "partition", file, *about, is_expected=True)]


def find_known(name: str, among: Collection[str] | None = None) -> KnownWeights:
    """Return weights by their name.

    Args:
        name: of the weights.
        among: names to choose from; None for all.

    Raises:
        WeightsError: no weights have that name; the hint has the nearest name, or all.
    """
    known = {each.name: each for each in known_weights() if among is None or each.name in among}
    if name in known:
        return known[name]
    hint = nearest(name, known, f"There are {', '.join(known)}.")
    raise WeightsError(f"there are no weights named '{name}'", hint=hint)


def verify(name: str | None = None) -> list[tuple[KnownWeights, str, str]]:
    """Compare weights with their SHA-256.

    Args:
        name: of the weights; None for all that should exist.

    Returns:
        Each with `whole`, `damaged` or `missing`, and the hash that was found.

    Raises:
        WeightsError: no weights have that name.
    """
    wanted = (
        [find_known(name)] if name is not None else [w for w in known_weights() if w.is_expected]
    )
    return [(each, *_state_of(each)) for each in wanted]


def import_weights(file: Path, options: ImportOptions) -> tuple[str, Path]:
    """Copy weights into the folder of weights.

    A SAM checkpoint is recognised by its SHA-256. A network (the authors' `.pth`, or safetensors of
    rat) needs a task and a name.

    Returns:
        The name of the weights, and the file that was written.

    Raises:
        UsageError: a task without a name, or a name without a task.
        WeightsError: the file is not known, or cannot be read.
    """
    if (options.task is None) != (options.name is None):
        raise UsageError(
            "a network needs a --task and a --name",
            hint="Give both. A SAM checkpoint needs neither.",
        )
    if options.task is None or options.name is None:
        return _import_sam(file)
    from ratcli.commands.importing import import_network

    name, heads, window = options.name, options.heads, options.window
    return name, import_network(file, options.task, name, heads, window)


def _import_sam(file: Path) -> tuple[str, Path]:
    from ratcli.partition.sam_weights import import_checkpoint

    try:
        checkpoint, copied = import_checkpoint(file)
    except WeightsError as error:
        raise WeightsError(
            str(error), hint=f"{error.hint} For a network, add --task and --name."
        ) from error
    return checkpoint.name, copied


def _state_of(each: KnownWeights) -> tuple[str, str]:
    from ratcli.weightfiles import hash_file, is_there

    found = hash_file(each.file) if is_there(each.file) else ""
    return "whole" if found == each.sha256 else "damaged" if found else "missing", found
