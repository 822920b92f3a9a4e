"""`rat weights import --task`: installs a network that others have trained."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratcli.errors import InputNotFoundError, OutputError, UsageError, WeightsError
from ratcli.tasks import get_task

if TYPE_CHECKING:
    from torch import Tensor

    from ratcli.network.rat import NetworkSettings
    from ratcli.task import Task

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def import_network(file: Path, task_name: str, name: str, heads: int, window: int) -> Path:
    """Copy a network into the folder of the user's weights and add it to the registry there.

    Values keep their precision, except that doubles become single. Nothing is written unless the
    whole file is a network for the task.

    Args:
        file: the authors' `.pth`, or safetensors of rat.
        task_name: the task it restores.
        name: under which it is installed.
        heads: attention heads, which the shapes of the parameters do not show.
        window: side of the attention windows, which the shapes do not show either.

    Returns:
        The installed file.

    Raises:
        UsageError: the task does not exist, or the name is taken or not valid.
        InputNotFoundError: the file does not exist.
        WeightsError: the file is damaged, hostile, of another architecture, or for other channels.
        OutputError: the folder cannot be written.
    """
    from ratcli.weightfiles import user_folder

    task = get_task(task_name)
    _check_name(name)
    if not file.is_file():
        raise InputNotFoundError(f"there is no file {file.name}")
    state, settings = _read(file, task, heads, window)
    entry = {
        "task": task.name,
        "summary": f"imported, {sum(value.numel() for value in state.values()) / 1e6:.1f} M "
        "parameters",
        "licence": "NOASSERTION",
        "data": ["unknown"],
        "network": asdict(settings),
    }
    return _install(user_folder(), name, state, entry)


def _read(
    file: Path, task: Task, heads: int, window: int
) -> tuple[dict[str, Tensor], NetworkSettings]:
    """Read the parameters, and infer the shape of the network from them."""
    from ratcli.network.checkpoint import read_state
    from ratcli.network.shapes import Unseen, infer_settings

    try:
        state = read_state(file)
        settings = infer_settings(state, Unseen(task.scale, heads, window))
    except (RuntimeError, MemoryError, AttributeError) as error:
        raise WeightsError(f"{file.name} does not contain a network") from error
    if settings.channels != task.channels:
        raise WeightsError(
            f"{file.name} restores planes of {settings.channels} channels, but {task.name} "
            f"has {task.channels}"
        )
    return state, settings


def _check_name(name: str) -> None:
    from ratcli.network.registry import list_weights
    from ratcli.partition import PARTITIONS

    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is not a valid name for weights", hint="Use letters, digits, - and _."
        )
    if name in PARTITIONS or name in {entry.name for entry in list_weights()}:
        raise UsageError(f"weights named '{name}' already exist", hint="Choose another --name.")


def _install(folder: Path, name: str, state: Mapping[str, Tensor], entry: dict[str, Any]) -> Path:
    """Write under a temporary name, rename, then register; remove the file if that fails."""
    import torch

    from ratcli.network.checkpoint import save_state
    from ratcli.training.publish import enter
    from ratcli.weightfiles import hash_file

    path = folder / f"{name}.safetensors"
    partial = folder / f".{name}.{secrets.token_hex(4)}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_state(partial, state, torch.float32)
        facts = {**entry, "file": path.name, "sha256": hash_file(partial)}
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"the folder of weights cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    try:
        enter(folder, name, facts)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
