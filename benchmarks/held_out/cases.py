"""Degraded planes with their references, and the methods that restore them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ratcli.evaluation.baselines import Baseline, installed
from ratcli.evaluation.fidelity import score
from ratcli.evaluation.window import Window
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.training.examples import TargetPlane
from research.baseline_tuning import strength, tune

Method = Callable[[FloatArray], FloatArray]
"""Takes `(C, h, w)` and returns `(C, s*h, s*w)`, in the task's unit."""


@dataclass(frozen=True)
class Case:
    """A plane that a method is to restore.

    Attributes:
        patient: each counts once.
        low: degraded, `(C, h, w)` in the task's unit.
        reference: what it is compared with, `(C, s*h, s*w)`.
        spacing_mm: pixel pitch of the reference.
        labels: regions of the reference `(H, W)`, where the task measures in some.
        edges: the same plane with planted discs, where edges are measured, by their names.
        truth: what the error to the noise-free plane is estimated from, where it can be.
    """

    patient: str
    low: FloatArray
    reference: FloatArray
    spacing_mm: float
    labels: LabelArray | None = None
    edges: Mapping[str, Edge] | None = None
    truth: Truth | None = None


class Truth(Protocol):
    """Estimates the error of an output to a noise-free plane that nobody has."""

    def figures(self, low: FloatArray, output: FloatArray) -> dict[str, float]:
        """Return figures of an output `(H, W)` made of `low`."""


@dataclass(frozen=True)
class Edge:
    """Discs planted into a plane: `(1, H, W)` in HU, their centres and radius in pixels."""

    disc: FloatArray
    centres: tuple[tuple[float, float], ...]
    radius_px: float


@dataclass(frozen=True)
class Column:
    """A column of the table: which figure, its title, its format, and the mean or the worst."""

    figure: str
    title: str
    form: str
    worst: bool = False


class Judge(Protocol):
    """A task's way to be judged."""

    task: str
    conditions: Mapping[str, float]
    columns: tuple[Column, ...]
    about: Mapping[str, str]

    def cases(self, planes: Sequence[TargetPlane], condition: str, first_seed: int) -> list[Case]:
        """Degrade planes in one condition."""

    def classical(
        self, training: Sequence[TargetPlane], condition: str, names: Sequence[str]
    ) -> Iterator[tuple[str, Method]]:
        """Yield the classical methods, tuned on training planes in that condition."""

    def measure(self, case: Case, output: FloatArray, method: Method) -> dict[str, float]:
        """Return the figures of one restored plane, the first of them the leading one."""


def spread(planes: Sequence[TargetPlane], most: int) -> list[TargetPlane]:
    """Take at most so many planes of each patient, evenly."""
    chosen = []
    for patient in dict.fromkeys(plane.patient for plane in planes):
        own = [plane for plane in planes if plane.patient == patient]
        picks = np.unique(np.linspace(0, len(own) - 1, min(most, len(own))).round().astype(int))
        chosen += [own[pick] for pick in picks]
    return chosen


def tuned(
    pairs: Sequence[tuple[FloatArray, FloatArray]], window: Window, names: Sequence[str]
) -> Iterator[tuple[str, Method]]:
    """Yield those classical methods that are installed, tuned on pairs of training planes."""
    for name in (name for name in names if installed(name)):
        baseline = climbed(tune(name, pairs, window), pairs)
        print(f"tuned {name}: {dict(baseline.settings)}", flush=True)
        yield name, baseline


def climbed(baseline: Baseline, pairs: Sequence[tuple[FloatArray, FloatArray]]) -> Baseline:
    """Raise or lower a method's strength beyond the values that tuning tries, while it helps."""

    def loss(one: Baseline) -> float:
        return sum(score(one(low), usual, one.window).rmse ** 2 for low, usual in pairs)

    fine = strength(baseline.name)
    best, least = baseline, loss(baseline)
    for step in (1.5, 1 / 1.5, 1.15, 1 / 1.15):
        while True:
            settings = {**best.settings, fine: best.settings[fine] * step}
            trial = replace(best, settings=settings)
            found = loss(trial)
            if found > 0.999 * least:
                break
            best, least = trial, found
    return best


def by_patient(planes: Sequence[TargetPlane]) -> dict[str, list[TargetPlane]]:
    """Return the planes of each patient, in their order."""
    found: dict[str, list[TargetPlane]] = {}
    for plane in planes:
        found.setdefault(plane.patient, []).append(plane)
    return found
