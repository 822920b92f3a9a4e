"""What each task learns from: its source of examples, and how validation sees it."""

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
    """A task's way to degrade clean scans.

    Attributes:
        source: makes examples of a task, a recipe and clean planes.
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
    """Degrade planes for validation, each in a way of its own, the same at every call.

    Args:
        task: the task.
        recipe: partitioner and seed.
        planes: of patients that no training sees.
        count: most planes to use, spread evenly.
    """
    usual = replace(recipe, procedural=0.0, noise_hu=(20.0, 40.0))
    return [
        make_source(task, usual, [plane]).make(index)
        for index, plane in enumerate(spread(planes, count))
    ]


def spread(planes: Sequence[T], count: int) -> list[T]:
    """Take so many planes, evenly; some twice where there are fewer."""
    if not planes:
        return []
    return [planes[i] for i in np.linspace(0, len(planes) - 1, count).round().astype(int)]
