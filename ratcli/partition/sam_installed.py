"""Finds the file of the compact SAM that ships with `rat`, and its entry in the registry.

Needs no torch, so that listing what is installed stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ratcli.errors import WeightsError
from ratcli.schema import checked
from ratcli.weightfiles import REGISTRY, hash_file, is_there, read_registry, weights_folders

NAME = "sam-compact"
FILE = "sam-compact.safetensors"


@dataclass(frozen=True)
class PartitionEntry:
    """Weights that find regions, as the registry names them; see `WeightsEntry`."""

    use: str
    file: str
    sha256: str
    summary: str
    licence: str
    data: tuple[str, ...] = ()


def find_compact() -> Path:
    """Return the installed weights, verified if a registry has their hash.

    Raises:
        WeightsError: there are none, or they are damaged.
    """
    path = installed_compact()
    if path is None:
        raise WeightsError(
            "the weights of sam-compact are not installed",
            hint="Choose --partition superpixel, which needs no weights.",
        )
    entry = registered(path)
    if entry is not None and entry.sha256 != hash_file(path):
        raise WeightsError(
            f"{path.name} does not have the SHA-256 of the registry",
            hint="The file is damaged or was changed: install rat again.",
        )
    return path


def installed_compact() -> Path | None:
    """Return the file of the weights, not verified, or None if there is none."""
    files = [folder / FILE for folder in weights_folders()]
    return next((file for file in files if is_there(file)), None)


def registered(path: Path) -> PartitionEntry | None:
    """Return the entry of the weights in the registry beside them; None if there is none.

    Raises:
        WeightsError: the registry is damaged.
    """
    registry = path.with_name(REGISTRY)
    facts = read_registry(registry).get(NAME) if is_there(registry) else None
    if facts is None:
        return None
    return checked(PartitionEntry, facts, f"{registry.name}, [{NAME}]", WeightsError)
