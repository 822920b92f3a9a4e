"""The file of the compact SAM that ships with `rat`: where it is, and what is told of it.

Needs no torch, so that listing what is installed stays quick.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ratcli.errors import WeightsError
from ratcli.partition.sam_weights import sha256_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "sam-compact.safetensors"


def find_compact() -> Path:
    """Return the installed weights, verified where a registry has their hash.

    Raises:
        WeightsError: there are none, or they are damaged.
    """
    path = installed_compact()
    if path is None:
        raise WeightsError(
            "the weights of sam-compact are not installed",
            hint="Choose --partition superpixel, which needs none.",
        )
    facts = registered_facts(path)
    if "sha256" in facts and facts["sha256"] != sha256_of(path):
        raise WeightsError(
            f"{path.name} does not have the SHA-256 of the registry",
            hint="The file is damaged or was changed: install rat again.",
        )
    return path


def installed_compact() -> Path | None:
    """Return the file of the weights, not verified; None where there is none."""
    package = Path(__file__).resolve().parents[1]
    home = os.environ.get("RAT_HOME")
    folders = [*([Path(home)] if home else []), package / "weights", package.parent / "weights"]
    return next((folder / FILE for folder in folders if is_there(folder / FILE)), None)


def is_there(path: Path) -> bool:
    """Tell whether a file is there; what another account hides is not."""
    try:
        return path.is_file()
    except PermissionError:
        return False


def registered_facts(path: Path) -> dict[str, Any]:
    """Return what the registry beside the weights tells of them; empty where it tells nothing.

    Raises:
        WeightsError: the registry is damaged.
    """
    registry = path.with_name("registry.toml")
    if not registry.is_file():
        return {}
    try:
        entry = tomllib.loads(registry.read_text(encoding="utf-8")).get("sam-compact", {})
    except (OSError, ValueError) as error:
        raise WeightsError("the weights' registry registry.toml is damaged") from error
    return dict(entry)
