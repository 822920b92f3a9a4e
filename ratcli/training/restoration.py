"""Learning to restore: patches in, the focal region loss, PSNR on whole held-out planes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ratcli.network.rat import RAT
from ratcli.training import parallel
from ratcli.training.examples import Example, ExampleSource
from ratcli.training.loss import degradation_size, focal_region_loss
from ratcli.training.patches import PatchBatch, cut_patches
from ratcli.training.pool import ExamplePool
from ratcli.training.recipe import Recipe


class PatchFeed:
    """Patches of each step, cut from a pool of examples.

    Args:
        recipe: sizes, and the seed of the places.
        source: makes the examples.
        step: at which the run begins or goes on.
        workers: processes that make examples ahead.
    """

    def __init__(self, recipe: Recipe, source: ExampleSource, step: int, workers: int) -> None:
        self._recipe = recipe
        self._pool = ExamplePool(source.make, recipe.pool, recipe.refresh, step, workers)

    def draw(self, step: int) -> PatchBatch:
        """Cut the patches of a step; each process takes its part of them."""
        recipe = self._recipe
        rng = np.random.default_rng((recipe.seed, 1, step))
        is_late = step >= recipe.steps - recipe.late_steps
        count = recipe.late_batch if is_late else recipe.batch
        side = recipe.late_patch if is_late else recipe.patch
        examples = self._pool.draw(rng, count * parallel.world())
        batch = cut_patches(rng, examples, side, recipe.network.scale)
        return batch.part(parallel.rank(), parallel.world())

    def advance(self) -> None:
        """Replace the oldest examples of the pool."""
        self._pool.advance()


@dataclass(frozen=True)
class RestorationObjective:
    """The objective of a task: see `ratcli.training.objective.Objective`.

    Attributes:
        recipe: what to do.
        source: makes training examples.
        held_out: examples of patients that no training sees.
        scored: range of the network's units over which validation measures (CT: -160 to 240 HU);
            its width is the data range of the PSNR.
    """

    recipe: Recipe
    source: ExampleSource
    held_out: Sequence[Example]
    scored: tuple[float, float] = (-0.5, 0.5)

    def stage(self, step: int) -> int:
        """All steps are of one stage."""
        return 0

    def network(self, stage: int) -> RAT:
        """Return a network whose first output is its input: it learns the difference."""
        network = RAT(self.recipe.network)
        nn.init.zeros_(network.ending.weight)
        if network.ending.bias is not None:
            nn.init.zeros_(network.ending.bias)
        return network

    def fitted(self, state: dict[str, Tensor], stage: int) -> dict[str, Tensor]:
        """There is one stage: the parameters stay."""
        return state

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Decay matrices and kernels, but no norms, biases and gates."""
        heavy = [p for name, p in network.named_parameters() if _is_matrix(name, p)]
        light = [p for name, p in network.named_parameters() if not _is_matrix(name, p)]
        return [
            {"params": heavy, "weight_decay": self.recipe.weight_decay},
            {"params": light, "weight_decay": 0.0},
        ]

    def feed(self, step: int, workers: int) -> PatchFeed:
        """Return the patches from a step on."""
        return PatchFeed(self.recipe, self.source, step, workers)

    def forward(self, network: nn.Module, batch: PatchBatch) -> Tensor:
        """Restore the patches, `(B, C, s*h, s*w)`."""
        restored: Tensor = network(batch.degraded, batch.labels)
        return restored

    def loss(self, output: Tensor, batch: PatchBatch) -> Tensor:
        """Return the focal region loss, balanced between examples as the recipe says."""
        recipe, target = self.recipe, batch.target
        if recipe.balance:
            own = batch.degraded[:, : target.shape[1]]
            size = degradation_size(own, target) ** recipe.balance
            output, target = output / size, target / size
        return focal_region_loss(output, target, batch.labels, recipe.beta, recipe.epsilon)

    def score(self, network: nn.Module, device: torch.device) -> float:
        """Return the mean PSNR in dB on whole held-out planes; each process takes some."""
        if not self.held_out:
            return math.nan
        own = self.held_out[parallel.rank() :: parallel.world()]
        scores = sum(self._score(network, example, device) for example in own)
        summed = parallel.total(torch.tensor(scores, dtype=torch.float64, device=device))
        return float(summed) / len(self.held_out)

    def _score(self, network: nn.Module, example: Example, device: torch.device) -> float:
        degraded = torch.from_numpy(example.degraded)[None].to(device)
        labels = torch.from_numpy(example.labels)[None].to(device)
        restored = network(degraded, labels)[0].float().cpu().numpy()
        low, high = self.scored
        difference = (restored.clip(low, high) - example.target.clip(low, high)) / (high - low)
        return -10 * math.log10(max(float(np.mean(difference**2)), 1e-12))


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and not name.endswith(("beta", "gamma"))
