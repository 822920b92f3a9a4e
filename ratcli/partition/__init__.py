"""Partitions of a plane into regions; one file each, listed here.

A partitioner takes a plane in the network's normalised units (CT: (HU - 40) / 400, PET: SUV / 5,
RGB: 0 to 1) and gives back `Regions`. Modules load on first use, so that torch stays out of
every run that does not need it.
"""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from ratcli.errors import UsageError, nearest
from ratcli.regions import Regions
from ratcli.scan import FloatArray


class Partitioner(Protocol):
    """Labels every pixel of a plane; the same plane always gets the same labels."""

    @property
    def name(self) -> str:
        """Name as on the command line."""

    @property
    def settings(self) -> tuple[str, ...]:
        """Everything that changes the result, for cache keys and derived identifiers."""

    def partition(self, plane: FloatArray) -> Regions:
        """Label every pixel of a plane.

        Args:
            plane: float32 `(C, H, W)` in the network's units; C is 1 or 3.
        """


# Each module has a function `make(name, **options) -> Partitioner`.
PARTITIONS: dict[str, str] = {
    "none": "ratcli.partition.whole",
    "superpixel": "ratcli.partition.superpixel",
    "superpixel-coarse": "ratcli.partition.superpixel",
    "sam-compact": "ratcli.partition.sam",
    "sam-vit-b": "ratcli.partition.sam",
    "sam-vit-l": "ratcli.partition.sam",
    "sam-vit-h": "ratcli.partition.sam",
}


def get_partitioner(name: str, **options: object) -> Partitioner:
    """Return the partitioner of that name.

    Args:
        name: a key of `PARTITIONS`.
        options: passed to the partitioner's `make`, see its module.

    Raises:
        UsageError: there is none of that name; the message suggests the nearest.
    """
    if name not in PARTITIONS:
        hint = nearest(name, PARTITIONS, f"Partitions: {', '.join(PARTITIONS)}.")
        raise UsageError(f"there is no partition '{name}'", hint=hint)
    module = importlib.import_module(PARTITIONS[name])
    return cast(Partitioner, module.make(name, **options))
