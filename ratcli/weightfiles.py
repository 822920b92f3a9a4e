"""Files of weights: their folders, the registry beside them, hashes, and writing.

The same holds for networks that restore and for those that find regions. This module needs no
torch, so that listing the installed weights is quick.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from ratcli.errors import WeightsError
from ratcli.schema import read_toml

REGISTRY = "registry.toml"

_CHUNK = 1 << 20


def user_folder() -> Path:
    """Return the folder of downloaded and imported weights: `RAT_HOME`, else one of the user's.

    Raises:
        RuntimeError: the account has no home.
    """
    home = os.environ.get("RAT_HOME")
    return Path(home) if home else Path.home() / ".local" / "share" / "rat" / "weights"


def weights_folders() -> list[Path]:
    """Return the folders searched for weights: the user's, then those installed with `rat`."""
    package = Path(__file__).resolve().parent
    installed = package / "weights"
    shipped = installed if installed.is_dir() else package.parent / "weights"
    try:
        return [user_folder(), shipped]
    except RuntimeError:  # an account without a home, as in some containers
        return [shipped]


def is_there(path: Path) -> bool:
    """Return whether a file exists, could exist by its name, and may be seen by this account."""
    try:
        return path.is_file()
    except OSError:
        return False


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_registry(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tables of a registry file.

    Raises:
        WeightsError: it is damaged.
    """
    for name, facts in (tables := read_toml(path, WeightsError)).items():
        if not isinstance(facts, dict):
            raise WeightsError(f"{path.name}: {name} is {facts!r}, expected a table")
    return tables


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it, so that it is never half written."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
