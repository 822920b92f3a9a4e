"""The networks that are installed, as the registries name them. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ratcli.errors import WeightsError, nearest
from ratcli.schema import Amount, Share, checked
from ratcli.weightfiles import REGISTRY, hash_file, is_there, read_registry, weights_folders


@dataclass(frozen=True)
class ResidualKept:
    """How much of the residual (input minus output) a restored plane keeps.

    See `ratcli.pipeline.kept_residual`. The numbers are fitted to given weights.

    Attributes:
        least: share of the residual that every pixel keeps.
        error: error of the network where there is nearly no noise, in the task's first unit.
        slope: further error for each unit by which the plane rises over one pixel.
        along_px: standard deviation in pixels of the Gaussian that averages the residual along
            an edge; 0 if edges keep no more than the rest.
    """

    least: Share
    error: Amount
    slope: Amount
    along_px: Amount


@dataclass(frozen=True)
class WeightsEntry:
    """Weights as the registry names them, with the numbers that were fitted to them.

    Attributes:
        name: as on the command line.
        task: the task they restore.
        file: safetensors file beside the registry.
        sha256: hash of that file.
        summary: one line.
        data: groups of scans they were trained on.
        licence: SPDX identifier.
        network: settings of the network.
        uncertainty_scale: true error on held-out patients, divided by the spread of the views.
        uncertainty_floor: error on them that the spread does not show, in the task's first unit;
            it is added in quadrature.
        uncertainty_share: the same as a share of the restored value, for scans whose noise
            follows the value (PET).
        residual_kept: which part of the residual the result keeps; None for nothing. Only for
            tasks that keep the grid.
        mean_kept_px: standard deviation in pixels of the Gaussian over which the result keeps the
            input's local mean; 0 if it need not. Only for tasks that keep the grid.
        consistent_below: root mean square difference, in the task's first unit, up to which a
            result on a finer grid is made to agree with the input; 0 for never.
    """

    name: str
    task: str
    file: Path
    sha256: str
    summary: str
    data: tuple[str, ...]
    licence: str
    network: dict[str, Any]
    uncertainty_scale: Amount = 1.0
    uncertainty_floor: Amount = 0.0
    uncertainty_share: Amount = 0.0
    residual_kept: ResidualKept | None = None
    mean_kept_px: Amount = 0.0
    consistent_below: Amount = 0.0

    @property
    def card(self) -> Path:
        """The file that says what the weights are, and where they fail."""
        return self.file.with_suffix(".md")


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
        hint = nearest(name, entries, "`rat weights list` shows what is installed.")
        raise WeightsError(f"no weights named '{name}' are installed", hint=hint)
    entry = entries[name]
    if not is_there(entry.file):
        raise WeightsError(f"the file of the weights '{name}' is missing: {entry.file.name}")
    return entry


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
            hint="The file is damaged or was changed: install rat again, or import the file again.",
        )


def _entries(folder: Path) -> list[WeightsEntry]:
    path = folder / REGISTRY
    if not is_there(path):
        return []
    tables = read_registry(path).items()
    return [_entry(path, name, facts) for name, facts in tables if facts.get("use") != "partition"]


def _entry(registry: Path, name: str, facts: dict[str, Any]) -> WeightsEntry:
    """Check one table; entries with `use = "partition"` find regions and are no such weights."""
    table = {**facts, "name": name}
    entry = checked(WeightsEntry, table, f"{registry.name}, [{name}]", WeightsError)
    return replace(entry, file=registry.parent / entry.file)
