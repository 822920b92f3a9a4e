"""What each task learns from: its source of examples, and how validation sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ratcli.network.rat import NetworkSettings
from ratcli.task import Task
from ratcli.training.ct import CtSource
from ratcli.training.material import CleanPlane, Example, Source
from ratcli.training.pathology import PathologySource
from ratcli.training.pet import PetSource
from ratcli.training.recipe import Recipe

T = TypeVar("T")


@dataclass(frozen=True)
class Material:
    """A task's way to degrade clean scans.

    Attributes:
        source: makes examples of a task, a recipe and clean planes.
        scored: range of the network's units over which validation measures.
    """

    source: Callable[[Task, Recipe, Sequence[CleanPlane]], Source]
    scored: tuple[float, float]


MATERIALS: dict[str, Material] = {
    "ct-denoise": Material(CtSource, (-0.5, 0.5)),  # -160 to 240 HU
    "pet-synthesis": Material(PetSource, (0.0, 2.0)),  # SUV 0 to 10
    "pathology-sr": Material(PathologySource, (0.0, 1.0)),
}


def make_source(task: Task, recipe: Recipe, planes: Sequence[CleanPlane]) -> Source:
    """Return the source of a task's examples."""
    return MATERIALS[task.name].source(task, recipe, planes)


def held_out_examples(
    task: Task, recipe: Recipe, planes: Sequence[CleanPlane], count: int
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


def default_recipe(task: Task) -> Recipe:
    """Return settings for a compact network of a task, for scans that no recipe names."""
    is_pet = task.name == "pet-synthesis"
    network = NetworkSettings(
        channels=task.channels,
        width=24 if task.channels == 3 else 32,
        encoder_blocks=(1, 2),
        decoder_blocks=(2, 1),
        groups=(3, 3),
        heads=4,
        scale=task.scale,
        equivariant=is_pet,
    )
    return Recipe(
        task.name, network, learning_rate=8e-4, patch=96, late_steps=600, late_patch=192,
        epsilon=0.5 if is_pet else 0.0, balance=float(is_pet), validate=250,
    )  # fmt: skip
