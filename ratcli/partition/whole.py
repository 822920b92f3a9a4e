"""`none`: the whole plane is one region, so attention is global."""

from __future__ import annotations

from dataclasses import dataclass

from ratcli.regions import Regions
from ratcli.scan import FloatArray


@dataclass(frozen=True)
class Whole:
    """One region over the plane."""

    name: str = "none"

    @property
    def settings(self) -> tuple[str, ...]:
        """Only the name."""
        return (self.name,)

    def partition(self, plane: FloatArray) -> Regions:
        """Return one region over a plane `(C, H, W)`."""
        return Regions.single(*plane.shape[-2:])


def make(name: str) -> Whole:
    """Return the partitioner."""
    return Whole(name)
