"""How a run optimises: the settings that every recipe has, and the learning rate of a step."""

from __future__ import annotations

import math
from typing import Protocol


class Schedule(Protocol):
    """What the loop takes from a recipe; each recipe documents its own values."""

    @property
    def seed(self) -> int:
        """Decides initial parameters, examples and patches."""

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""

    @property
    def learning_rate(self) -> float:
        """Highest rate."""

    @property
    def final_rate(self) -> float:
        """Rate of the last step."""

    @property
    def warmup(self) -> int:
        """Steps of linear warm-up."""

    @property
    def clip(self) -> float:
        """Largest norm of the gradient."""

    @property
    def ema(self) -> float:
        """Decay of the averaged parameters."""

    @property
    def validate(self) -> int:
        """Steps between validations, each of which keeps a checkpoint."""

    @property
    def precision(self) -> str:
        """`fp32` or `bf16`."""


def learning_rate(schedule: Schedule, step: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine to the final rate."""
    if step < schedule.warmup:
        return schedule.learning_rate * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    cosine = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return schedule.final_rate + (schedule.learning_rate - schedule.final_rate) * cosine


def average_decay(schedule: Schedule, step: int) -> float:
    """Return the decay of the averaged parameters; early steps are forgotten sooner."""
    return min(schedule.ema, (1 + step) / (10 + step))
