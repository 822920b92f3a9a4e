"""Makes weights for `rat restore` from a checkpoint: a file and its entry in the registry."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ratcli.errors import OutputError, UnreadableInputError, WeightsError
from ratcli.network.checkpoint import build_network, save_state
from ratcli.training.checkpoints import CHECKPOINT, load
from ratcli.training.recipe import Recipe
from ratcli.weightfiles import REGISTRY, hash_file, read_registry, write_whole


class Published(NamedTuple):
    """What is said about weights.

    Attributes:
        name: as on the command line.
        summary: one line.
        licence: an SPDX identifier, or that it is not stated.
    """

    name: str
    summary: str
    licence: str


def publish(
    run: Path, recipe: Recipe, folder: Path, about: Published, checkpoint: str = CHECKPOINT
) -> Path:
    """Write a run's averaged parameters in half precision and enter them in a registry.

    Args:
        run: folder of the run.
        recipe: what it was trained by.
        folder: where the weights go; its registry is made or extended.
        about: the name, which may not be taken in that folder, and what is said about them.
        checkpoint: `last.pt` or `best.pt`.

    Returns:
        The file of the weights.

    Raises:
        UsageError: there is no checkpoint.
        UnreadableInputError: it is damaged.
        WeightsError: the checkpoint is of another network.
        OutputError: the folder has weights of that name.
    """
    path = _free_file(folder, about.name)
    average = load(run / checkpoint, torch.device("cpu")).get("average")
    if not isinstance(average, dict):
        raise UnreadableInputError(f"{checkpoint} is not a checkpoint of a training run")
    build_network(recipe.network, average, torch.device("cpu"))
    folder.mkdir(parents=True, exist_ok=True)
    save_state(path, average, torch.float16)
    entry = {
        "task": recipe.task,
        "file": path.name,
        "sha256": hash_file(path),
        "summary": about.summary,
        "licence": about.licence,
        "data": _data(recipe),
        "network": asdict(recipe.network),
    }
    enter(folder, about.name, entry)
    return path


def _free_file(folder: Path, name: str) -> Path:
    """Return the file for weights of a name that is not taken."""
    path, registry = folder / f"{name}.safetensors", folder / REGISTRY
    if path.exists() or (registry.is_file() and name in read_registry(registry)):
        raise OutputError(
            f"weights named '{name}' exist already", hint="Choose another name with --publish."
        )
    return path


def _data(recipe: Recipe) -> list[str]:
    """Return the names of the scans that a network has learned from."""
    named = sorted(recipe.train) or ["scans that the recipe does not name"]
    procedural = ["procedural"] if recipe.procedural > 0 else []
    tuned = [f"weights {recipe.tuned_from}"] if recipe.tuned_from else []
    return named + procedural + tuned


def enter(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Write an entry into a folder's registry, the others unchanged.

    Args:
        folder: of the weights.
        name: of the entry; one of that name is replaced.
        entry: its facts; dictionaries become tables of their own.

    Raises:
        WeightsError: the registry is damaged, or cannot be written.
    """
    path = folder / REGISTRY
    entries = read_registry(path) if path.is_file() else {}
    entries[name] = entry
    text = "\n".join(_table(key, entries[key]) for key in sorted(entries))
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise WeightsError(f"the registry cannot be written: {error.strerror}") from error


def _table(name: str, entry: dict[str, Any]) -> str:
    """Return one TOML table and its sub-tables; strings and lists are written as in JSON."""
    inner = {key: value for key, value in entry.items() if isinstance(value, dict)}
    lines = [f"[{name}]", *_lines({k: v for k, v in entry.items() if k not in inner})]
    for key, table in inner.items():
        lines += ["", f"[{name}.{key}]", *_lines(table)]
    return "\n".join(lines) + "\n"


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]
