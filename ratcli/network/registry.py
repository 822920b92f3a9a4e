"""The weights that are installed: their registry, folder and hashes. Needs no torch."""

from __future__ import annotations

import difflib
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratcli.errors import WeightsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REGISTRY = "registry.toml"

_CHUNK = 1 << 20


@dataclass(frozen=True)
class WeightsEntry:
    """Weights as the registry names them.

    Attributes:
        name: as on the command line.
        task: the task they restore.
        file: safetensors file beside the registry.
        sha256: hash of that file.
        summary: one line.
        data: groups of scans they were trained on.
        licence: SPDX identifier.
        network: settings of the network.
        uncertainty_scale: true error for each told standard deviation, on held-out patients.
        uncertainty_floor: error there, in the task's first unit, that no spread tells; it is added
            in quadrature.
        uncertainty_share: the same as a share of the restored value, for scans whose noise
            follows the value (PET): it holds in any unit, and adds nothing to air.
    """

    name: str
    task: str
    file: Path
    sha256: str
    summary: str
    data: tuple[str, ...]
    licence: str
    network: dict[str, Any]
    uncertainty_scale: float = 1.0
    uncertainty_floor: float = 0.0
    uncertainty_share: float = 0.0

    @property
    def card(self) -> Path:
        """The file that tells what the weights are, and where they fail."""
        return self.file.with_suffix(".md")


def user_folder() -> Path:
    """Return the folder of downloaded and imported weights: `RAT_HOME`, else one of the user's.

    It is the one in which the partitions look for checkpoints.
    """
    home = os.environ.get("RAT_HOME")
    return Path(home) if home else Path.home() / ".local" / "share" / "rat" / "weights"


def weights_folders() -> list[Path]:
    """Return the folders searched for weights: the user's, then those installed with `rat`."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "weights"
    shipped = installed if installed.is_dir() else package.parent / "weights"
    try:
        return [user_folder(), shipped]
    except RuntimeError:  # an account without a home, as in some containers
        return [shipped]


def list_weights() -> list[WeightsEntry]:
    """Return all registered weights; the first folder that has a name wins.

    Raises:
        WeightsError: a registry is damaged.
    """
    found: dict[str, WeightsEntry] = {}
    for folder in weights_folders():
        for entry in _entries(folder):
            found.setdefault(entry.name, entry)
    return list(found.values())


def find_weights(name: str) -> WeightsEntry:
    """Return the weights of that name.

    Raises:
        WeightsError: none are registered, or their file is missing.
    """
    entries = {entry.name: entry for entry in list_weights()}
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]}?" if near else "`rat weights list` shows what is installed."
        raise WeightsError(f"no weights named '{name}' are installed", hint=hint)
    entry = entries[name]
    if not entry.file.is_file():
        raise WeightsError(f"the file of the weights '{name}' is missing: {entry.file.name}")
    return entry


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def verify_weights(entry: WeightsEntry) -> None:
    """Check a file against its registered hash.

    Raises:
        WeightsError: they differ, or the file cannot be read.
    """
    try:
        found = hash_file(entry.file)
    except OSError as error:
        raise WeightsError(f"cannot read {entry.file.name}: {error.strerror}") from error
    if found != entry.sha256:
        raise WeightsError(
            f"{entry.file.name} has SHA-256 {found[:12]}..., expected {entry.sha256[:12]}...",
            hint="The file is damaged or was changed: install rat again, or import the file anew.",
        )


def read_registry(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tables of a registry file.

    Raises:
        WeightsError: it is damaged.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"the weights' registry {path.name} is damaged: {error}") from error


def _entries(folder: Path) -> list[WeightsEntry]:
    path = folder / REGISTRY
    try:
        if not path.is_file():
            return []
    except PermissionError:  # the home of another account
        return []
    try:
        tables = read_registry(path).items()
        return [_entry(folder, name, facts) for name, facts in tables if not _is_partition(facts)]
    except (KeyError, TypeError) as error:
        raise WeightsError(f"the weights' registry {path.name} lacks {error}") from error


def _is_partition(facts: dict[str, Any]) -> bool:
    """Tell weights that find regions, which `ratcli.partition` loads, from those that restore."""
    return facts.get("use") == "partition"


def _entry(folder: Path, name: str, facts: dict[str, Any]) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        task=facts["task"],
        file=folder / facts["file"],
        sha256=facts["sha256"],
        summary=facts["summary"],
        data=tuple(facts["data"]),
        licence=facts["licence"],
        network=facts["network"],
        uncertainty_scale=float(facts.get("uncertainty_scale", 1.0)),
        uncertainty_floor=float(facts.get("uncertainty_floor", 0.0)),
        uncertainty_share=float(facts.get("uncertainty_share", 0.0)),
    )
