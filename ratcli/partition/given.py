"""`given`: regions that the user brings as a label map."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from ratcli.errors import UnsuitableInputError
from ratcli.regions import Regions
from ratcli.scan import FloatArray


class Given:
    """A label map for every plane that comes, whatever is in it.

    Args:
        labels: integers `(H, W)`; each value is a region.
        name: as on the command line.
    """

    def __init__(self, labels: npt.NDArray[np.integer], name: str = "given") -> None:
        self.name = name
        self._regions = Regions.from_labels(labels)

    @property
    def settings(self) -> tuple[str, ...]:
        """The name and the hash of the labels."""
        labels = self._regions.labels
        digest = hashlib.sha256(repr(labels.shape).encode() + labels.tobytes()).hexdigest()
        return (self.name, f"sha256={digest}")

    def partition(self, plane: FloatArray) -> Regions:
        """Return the label map.

        Raises:
            UnsuitableInputError: the plane is of another size.
        """
        expected = self._regions.labels.shape
        if plane.shape[-2:] != expected:
            raise UnsuitableInputError(
                f"the regions are {expected[0]} x {expected[1]} pixels, "
                f"but the plane is {plane.shape[-2]} x {plane.shape[-1]}",
                hint="Give the region map that was made from this scan.",
            )
        return self._regions


def make(name: str, labels: npt.NDArray[np.integer]) -> Given:
    """Return the partitioner of a label map `(H, W)`."""
    return Given(labels, name)
