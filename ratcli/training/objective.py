"""What the loop trains, how its recipe says to optimise, and the learning rate of a step."""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import Self


class Movable(Protocol):
    """A batch that can be moved to a device."""

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device."""


AnyBatch = TypeVar("AnyBatch", bound=Movable)
GivenBatch = TypeVar("GivenBatch", bound=Movable, covariant=True)


class Feed(Protocol[GivenBatch]):
    """Gives each step its batch; what a step gets depends on its number alone."""

    def draw(self, step: int) -> GivenBatch:
        """Return the batch of a step; of several processes each takes its part."""

    def advance(self) -> None:
        """Prepare the next step."""


class Objective(Protocol[AnyBatch]):
    """A network, the batches that it sees, its loss and its score."""

    def stage(self, step: int) -> int:
        """Return the stage of a step; a network keeps its shape for a stage."""

    def network(self, stage: int) -> nn.Module:
        """Return an untrained network of a stage."""

    def fitted(self, state: dict[str, Tensor], stage: int) -> dict[str, Tensor]:
        """Return parameters of the stage before as those of a stage."""

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Return the parameters to optimise, with their weight decay."""

    def feed(self, step: int, workers: int) -> Feed[AnyBatch]:
        """Return the batches from a step on, to the end of its stage.

        Args:
            step: the first.
            workers: processes that make examples ahead; they do not change the result.
        """

    def forward(self, network: nn.Module, batch: AnyBatch) -> Any:
        """Run the network; called in the recipe's precision."""

    def loss(self, output: Any, batch: AnyBatch) -> Tensor:
        """Return the loss of what `forward` returned."""

    def score(self, network: nn.Module, device: torch.device) -> float:
        """Return the PSNR in dB on held-out examples; NaN if there are none."""


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
