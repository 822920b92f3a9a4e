"""The settings of a training of the compact SAM."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ratcli.partition.sam_model import SamShape
from ratcli.schema import checked, read_toml

COMPACT = SamShape(
    512, 192, 12, 6, (2, 5, 8, 11), window=8, prompt_width=128, decoder_hidden=512, mlp_ratio=4.0
)


@dataclass(frozen=True)
class SamRecipe:
    """Settings of a run.

    Attributes:
        shape: of the model.
        seed: decides initial weights, planes and prompts.
        steps: optimiser steps.
        early_steps: the first of them, on pictures half as wide; a quarter of the work.
        early_batch: planes of an early step.
        batch: planes of a step.
        prompts: prompts for each plane; the first half points, the others boxes.
        learning_rate: highest rate, after `warmup` steps; then a cosine to a hundredth.
        warmup: steps of linear warm-up.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights.
        real: share of real planes among CT planes.
        noise_hu: range of the noise, log-uniform.
        pool: planes that steps draw from.
        refresh: planes of the pool replaced after each step.
        save: steps between checkpoints.
        precision: `fp32` or `bf16`.
        train: scans to learn from, one entry a patient, relative to the data folder.
    """

    shape: SamShape = COMPACT
    seed: int = 0
    steps: int = 15000
    early_steps: int = 0
    early_batch: int = 32
    batch: int = 32
    prompts: int = 16
    learning_rate: float = 8e-4
    warmup: int = 250
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    real: float = 0.4
    noise_hu: tuple[float, float] = (8.0, 80.0)
    pool: int = 256
    refresh: int = 1
    save: int = 250
    precision: str = "bf16"
    train: tuple[str, ...] = ()

    @property
    def final_rate(self) -> float:
        """Rate of the last step: a hundredth of the highest."""
        return 0.01 * self.learning_rate

    @property
    def validate(self) -> int:
        """Steps between checkpoints; nothing is held out to be validated on."""
        return self.save

    def is_early(self, step: int) -> bool:
        """Whether a step sees pictures half as wide."""
        return step < self.early_steps

    def shape_at(self, step: int) -> SamShape:
        """Return the shape that a step trains."""
        size = self.shape.image_size // 2 if self.is_early(step) else self.shape.image_size
        return dataclasses.replace(self.shape, image_size=size)

    def batch_at(self, step: int) -> int:
        """Return the planes that a step sees."""
        return self.early_batch if self.is_early(step) else self.batch


def read_sam_recipe(path: Path) -> SamRecipe:
    """Read a recipe.

    Raises:
        UsageError: the file is missing, no TOML, or has an unknown setting.
    """
    return checked(SamRecipe, read_toml(path), f"the recipe {path.name}")
