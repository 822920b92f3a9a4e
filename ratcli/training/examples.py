"""Examples to learn from: a degraded plane, its target, and the regions found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ratcli.network.neighbours import Neighbours, with_neighbours
from ratcli.partition import Partitioner
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.task import Task


@dataclass(frozen=True)
class TargetPlane:
    """A plane of full quality, from which training makes targets.

    Attributes:
        patient: all planes of one patient are used either for training or for validation. A hash,
            a folder or a file, never the name of a person.
        values: float32 `(C, H, W)` in the task's unit.
        spacing_mm: pixel pitch.
        neighbours: the planes before and after it in the same scan, None where there is none;
            their values are in the task's unit, too.
    """

    patient: str
    values: FloatArray
    spacing_mm: float
    neighbours: Neighbours = ()


@dataclass(frozen=True)
class Example:
    """One plane to learn from, in the network's units.

    Attributes:
        degraded: float32 `(C, H, W)`, what the network sees, with the channels of neighbours
            behind its own if the network uses them.
        target: float32 `(C, s*H, s*W)`, what it should return; s is the task's scale.
        labels: int32 `(s*H, s*W)`, regions of the degraded plane.
        name: where it comes from, for logs; never a patient's name.
    """

    degraded: FloatArray
    target: FloatArray
    labels: LabelArray
    name: str


class ExampleSource(Protocol):
    """Makes examples; the same index gives the same example."""

    def make(self, index: int) -> Example:
        """Return the example of an index."""


class PatientPlanes:
    """Planes of several patients: draws first a patient, then one of the planes.

    Args:
        planes: of any number of patients.
    """

    def __init__(self, planes: Sequence[TargetPlane]) -> None:
        self._planes: dict[str, list[TargetPlane]] = {}
        for plane in planes:
            self._planes.setdefault(plane.patient, []).append(plane)
        self._names = sorted(self._planes)
        pixels = [sum(plane.values[0].size for plane in self._planes[n]) for n in self._names]
        roots = np.sqrt(np.array(pixels, np.float64))
        self._shares = roots / max(1.0, roots.sum())

    def __bool__(self) -> bool:
        return bool(self._names)

    def draw_evenly(self, rng: np.random.Generator) -> TargetPlane:
        """Draw a patient, each with the same probability, and one of the planes."""
        return self._one_of(rng, int(rng.integers(len(self._names))))

    def draw_by_size(self, rng: np.random.Generator) -> TargetPlane:
        """Draw a patient with a probability proportional to the square root of the pixels.

        For scans of very different sizes: a whole body beside a few centimetres of a leg.
        """
        return self._one_of(rng, int(rng.choice(len(self._names), p=self._shares)))

    def _one_of(self, rng: np.random.Generator, patient: int) -> TargetPlane:
        planes = self._planes[self._names[patient]]
        return planes[int(rng.integers(len(planes)))]


def make_example(
    task: Task,
    partitioner: Partitioner,
    degraded: FloatArray,
    target: TargetPlane,
    neighbours: Neighbours = (),
    context: int = 0,
) -> Example:
    """Put a degraded plane beside its target, with regions found as when restoring.

    Args:
        task: maps both to the network's units.
        partitioner: sees the degraded plane.
        degraded: `(C, H, W)` in the task's unit.
        target: `(C, s*H, s*W)`, s the task's scale.
        neighbours: degraded planes beside it, in the task's unit.
        context: neighbouring planes on each side that the network uses.
    """
    seen = task.normalise(degraded)
    labels = partitioner.partition(seen).labels
    if task.scale != 1:
        labels = labels.repeat(task.scale, 0).repeat(task.scale, 1)
    beside = [each and replace(each, values=task.normalise(each.values)) for each in neighbours]
    degraded = with_neighbours(seen, beside, context)
    return Example(degraded, task.normalise(target.values), labels, target.patient)
