"""Each task's source of examples, and the range over which validation measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ratcli.task import Task
from ratcli.training.ct import CtExamples
from ratcli.training.examples import Example, ExampleSource, TargetPlane
from ratcli.training.pathology import PathologyExamples
from ratcli.training.pet import PetExamples
from ratcli.training.recipe import Recipe

T = TypeVar("T")


@dataclass(frozen=True)
class TrainableTask:
    """How a task makes examples of scans of full quality.

    Attributes:
        source: makes the source of examples from task, recipe and planes of full quality.
        scored: range of the network's units over which validation measures.
    """

    source: Callable[[Task, Recipe, Sequence[TargetPlane]], ExampleSource]
    scored: tuple[float, float]


TRAINABLE_TASKS: dict[str, TrainableTask] = {
    "ct-denoise": TrainableTask(CtExamples, (-0.5, 0.5)),  # -160 to 240 HU
    "pet-synthesis": TrainableTask(PetExamples, (0.0, 2.0)),  # SUV 0 to 10
    "pathology-sr": TrainableTask(PathologyExamples, (0.0, 1.0)),
}


def make_source(task: Task, recipe: Recipe, planes: Sequence[TargetPlane]) -> ExampleSource:
    """Return the source of a task's examples."""
    return TRAINABLE_TASKS[task.name].source(task, recipe, planes)


def held_out_examples(
    task: Task, recipe: Recipe, planes: Sequence[TargetPlane], count: int
) -> list[Example]:
    """Degrade planes for validation, each differently, in the same way at every call.

    Args:
        task: the task.
        recipe: partitioner and seed.
        planes: of patients that no training sees.
        count: number of planes to use, spread evenly.
    """
    usual = replace(recipe, procedural=0.0, noise_hu=(20.0, 40.0))
    return [
        make_source(task, usual, [plane]).make(index)
        for index, plane in enumerate(spread(planes, count))
    ]


def spread(planes: Sequence[T], count: int) -> list[T]:
    """Return `count` planes, spread evenly; some twice if there are fewer."""
    if not planes:
        return []
    return [planes[i] for i in np.linspace(0, len(planes) - 1, count).round().astype(int)]
