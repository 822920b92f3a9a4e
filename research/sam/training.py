"""Training the compact SAM: the objective of the training loop, and the weights that it writes."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

from ratcli.errors import WeightsError
from ratcli.partition.sam import read_compact
from ratcli.partition.sam_model import build_sam
from ratcli.training.loop import StepDone, Trainer
from ratcli.training.pool import ExamplePool
from research.sam.drawing import DrawnPlane
from research.sam.examples import turned
from research.sam.loss import mask_loss, segment_prompts
from research.sam.prompts import Prompted, draw_prompts
from research.sam.recipe import SamRecipe
from research.sam.weights import resize_weights, save_compact

WEIGHTS = "sam-compact.safetensors"


class PlaneSource(Protocol):
    """Draws planes; the same index gives the same plane."""

    def make(self, index: int, side: int) -> DrawnPlane:
        """Return the plane of an index, a picture of `(side, side)`."""


class PromptFeed:
    """Prompts of each step, for planes of a pool.

    Args:
        recipe: sizes, and the seed of the prompts.
        source: draws the planes.
        step: at which the run begins or goes on.
        workers: processes that draw planes ahead.
    """

    def __init__(self, recipe: SamRecipe, source: PlaneSource, step: int, workers: int) -> None:
        self._recipe = recipe
        make = functools.partial(source.make, side=recipe.shape_at(step).image_size)
        self._pool = ExamplePool(make, recipe.pool, recipe.refresh, step, workers)

    def draw(self, step: int) -> Prompted:
        """Draw planes, mirror and transpose them at random, and ask for their regions."""
        rng = np.random.default_rng((self._recipe.seed, 1, step))
        drawn = self._pool.draw(rng, self._recipe.batch_at(step))
        return draw_prompts(rng, [turned(rng, plane) for plane in drawn], self._recipe.prompts)

    def advance(self) -> None:
        """Replace the oldest planes of the pool."""
        self._pool.advance()


@dataclass(frozen=True)
class SegmentationObjective:
    """The objective of the compact SAM: see `ratcli.training.objective.Objective`.

    Its first stage sees small pictures, its second those of full size.

    Attributes:
        recipe: what to do.
        source: draws planes.
    """

    recipe: SamRecipe
    source: PlaneSource

    def stage(self, step: int) -> int:
        """Return 0 for the early steps, and 1 after them."""
        return 0 if self.recipe.is_early(max(0, step)) else 1

    def network(self, stage: int) -> Sam:
        """Return an untrained SAM for the pictures of a stage."""
        return build_sam(self._shape(stage))

    def fitted(self, state: dict[str, Tensor], stage: int) -> dict[str, Tensor]:
        """Fit position embeddings to the pictures of a stage."""
        return resize_weights(state, self._shape(stage))

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Decay all parameters."""
        return [{"params": network.parameters(), "weight_decay": self.recipe.weight_decay}]

    def feed(self, step: int, workers: int) -> PromptFeed:
        """Return the prompts from a step on."""
        return PromptFeed(self.recipe, self.source, step, workers)

    def forward(self, network: Sam, batch: Prompted) -> tuple[Tensor, Tensor]:
        """Return mask logits and predicted IoU; see `segment_prompts`."""
        return segment_prompts(network, batch)

    def loss(self, output: tuple[Tensor, Tensor], batch: Prompted) -> Tensor:
        """Return the loss of the best masks; see `mask_loss`."""
        return mask_loss(*output, batch.targets.flatten(0, 1))

    def score(self, network: nn.Module, device: torch.device) -> float:
        """Nothing is held out: partitions are judged by benchmarks/partition.py."""
        return math.nan

    def _shape(self, stage: int) -> Any:
        return self.recipe.shape_at(0 if stage == 0 else self.recipe.early_steps)


def make_trainer(
    recipe: SamRecipe, source: PlaneSource, folder: Path, device: torch.device
) -> Trainer[Prompted]:
    """Return a run that writes its averaged network as weights whenever it keeps a checkpoint.

    Args:
        recipe: what to do.
        source: draws planes.
        folder: where checkpoints, weights and the curve go.
        device: where the model runs.
    """
    trainer: Trainer[Prompted] = Trainer(
        recipe, SegmentationObjective(recipe, source), folder, device
    )

    def write_weights(done: StepDone) -> None:
        if done.is_validated:
            save_compact(folder / WEIGHTS, recipe.shape_at(done.step - 1), trainer.average)

    trainer.listeners.append(write_weights)
    return trainer


def begin_from(trainer: Trainer[Prompted], recipe: SamRecipe, path: Path) -> None:
    """Begin with weights that another run wrote, whatever its size of pictures.

    Raises:
        WeightsError: damaged, or of another architecture.
    """
    _, state = read_compact(path)
    try:
        begun = resize_weights(state, recipe.shape_at(0))
        trainer.initialise({name: value.float() for name, value in begun.items()})
    except (RuntimeError, KeyError) as error:
        raise WeightsError(f"{path.name} is of another architecture than the recipe") from error
