"""Training the compact SAM: prompts, loss, and a loop that resumes."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor
from torch.nn import functional as F

from ratcli.errors import UnreadableInputError, UsageError, WeightsError
from ratcli.partition.sam_compact import read_compact, save_compact
from ratcli.partition.sam_decoder import decode, upscale
from ratcli.partition.sam_model import build_sam, resize_weights
from research.sam.examples import LabelledPool, SamExamples
from research.sam.prompts import Prompted, draw_prompts
from research.sam.recipe import SamRecipe

CHECKPOINT = "last.pt"
WEIGHTS = "sam-compact.safetensors"
CURVE = "curve.csv"


def segment_prompts(sam: Sam, prompted: Prompted) -> tuple[Tensor, Tensor]:
    """Run a SAM on prompted pictures: three quarters of the prompts as points, the rest as boxes.

    Regions are found by points alone; boxes are easier, and teach the encoder what a region is.

    Returns:
        Mask logits `(I P, 3, S/4, S/4)` and predicted IoU `(I P, 3)`.
    """
    images, count = prompted.points.shape[:2]
    pointed = count - count // 4
    features = sam.image_encoder(sam.preprocess(prompted.pictures.float()))
    features = features + sam.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
    points = prompted.points[:, :pointed].reshape(-1, 1, 2)
    labels = torch.ones(len(points), 1, device=points.device)
    by_point, _ = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
    boxes = prompted.boxes[:, pointed:].reshape(-1, 4)
    by_box, _ = sam.prompt_encoder(points=None, boxes=boxes, masks=None)
    prompts = torch.cat(
        [
            by_point.view(images, pointed, 2, -1),
            by_box.view(images, count - pointed, 2, -1),
        ],
        dim=1,
    )
    position = sam.prompt_encoder.get_dense_pe()[0]
    decoded = decode(sam.mask_decoder, features, position, prompts)
    return upscale(sam.mask_decoder, decoded), decoded.quality


def mask_loss(logits: Tensor, quality: Tensor, targets: Tensor) -> Tensor:
    """2 BCE + Dice of the best of three masks, and the squared error of all predicted IoUs.

    Args:
        logits: `(B, M, h, w)`.
        quality: `(B, M)`.
        targets: bool `(B, h, w)`.

    Source: Kirillov et al., Segment Anything, 2023, appendix A, with BCE for its focal loss.
    """
    logits = logits.float()
    wanted = targets[:, None].expand_as(logits).float()
    bce = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((2, 3))
    shares = logits.sigmoid()
    both = (shares * wanted).sum((2, 3))
    dice = 1 - (2 * both + 1) / (shares.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    best = (2 * bce + dice).min(dim=1).values
    with torch.no_grad():
        found = logits > 0
        overlap = (found & targets[:, None]).sum((2, 3))
        union = (found | targets[:, None]).sum((2, 3))
        iou = overlap / union.clamp(min=1)
    return best.mean() + F.mse_loss(quality.float(), iou)


class SamTrainer:
    """One run, in a folder of its own.

    Args:
        recipe: what to do.
        source: draws planes.
        folder: where checkpoints, weights and the curve go.
        device: where the model runs.
        workers: processes that draw planes.
    """

    def __init__(
        self,
        recipe: SamRecipe,
        source: SamExamples,
        folder: Path,
        device: torch.device,
        workers: int = 0,
    ) -> None:
        self._recipe, self._source, self._folder, self._device = recipe, source, folder, device
        self._workers = workers
        self.step = 0
        torch.manual_seed(recipe.seed)
        self._build(0)
        self.average = {k: v.detach().clone() for k, v in self.sam.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)

    def _build(self, step: int) -> None:
        """Make model and optimiser for the shape of a step."""
        recipe = self._recipe
        self.sam = build_sam(recipe.shape_at(step)).to(self._device).train()
        self._optimiser = torch.optim.AdamW(
            self.sam.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )

    def _grow(self) -> None:
        """Go on with pictures of full size: fit the weights to it, and begin a new optimiser."""
        shape = self._recipe.shape_at(self.step)
        state = resize_weights(self.sam.state_dict(), shape)
        self._build(self.step)
        self.sam.load_state_dict(state)
        self.average = resize_weights(self.average, shape)

    def begin_from(self, path: Path) -> None:
        """Begin with weights that another run left, whatever its size of pictures.

        Raises:
            WeightsError: damaged, or of another architecture.
        """
        shape = self._recipe.shape_at(0)
        _, state = read_compact(path)
        try:
            begun = {k: v.float() for k, v in resize_weights(state, shape).items()}
            self.sam.load_state_dict(begun)
        except (RuntimeError, KeyError) as error:
            raise WeightsError(f"{path.name} is of another architecture than the recipe") from error
        self.average = {k: v.detach().clone() for k, v in self.sam.state_dict().items()}

    def resume(self) -> None:
        """Go on from the folder's checkpoint.

        Raises:
            UsageError: there is none.
            UnreadableInputError: it is damaged, or of another shape.
        """
        path = self._folder / CHECKPOINT
        if not path.is_file():
            raise UsageError(f"there is no {CHECKPOINT} to resume from in {self._folder.name}")
        try:
            state = torch.load(path, map_location=self._device, weights_only=True)
            self._build(int(state["step"]) - 1)
            self.sam.load_state_dict(state["sam"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.average, self.step = state["average"], int(state["step"])
        except Exception as error:
            raise UnreadableInputError(
                f"{CHECKPOINT} is damaged, or of another recipe: it cannot be resumed"
            ) from error

    def run(self, until: int | None = None) -> float:
        """Train to the last step, or to an earlier one; return the last loss."""
        recipe, began, loss = self._recipe, time.monotonic(), math.nan
        last = recipe.steps if until is None else min(until, recipe.steps)
        pool = self._pool()
        while self.step < last:
            if self.step == recipe.early_steps > 0:
                self._grow()
                pool = self._pool()
            loss = self._train_step(pool)
            self.step += 1
            pool.advance()
            self._log(loss, time.monotonic() - began)
            if self.step % recipe.save == 0 or self.step == last:
                self._save()
        return loss

    def _pool(self) -> LabelledPool:
        recipe, source = self._recipe, self._source
        side = recipe.shape_at(self.step).image_size
        return LabelledPool(source, side, recipe.pool, recipe.refresh, self.step, self._workers)

    def _train_step(self, pool: LabelledPool) -> float:
        recipe = self._recipe
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        rng = np.random.default_rng((recipe.seed, 1, self.step))
        planes = pool.draw(rng, recipe.batch_at(self.step))
        prompted = _moved(draw_prompts(rng, planes, recipe.prompts), self._device)
        half = recipe.precision == "bf16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            logits, quality = segment_prompts(self.sam, prompted)
        loss = mask_loss(logits, quality, prompted.targets.flatten(0, 1))
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.sam.parameters(), recipe.clip)
        self._optimiser.step()
        self._update_average()
        return float(loss.detach())

    def _rate(self) -> float:
        recipe = self._recipe
        if self.step < recipe.warmup:
            return recipe.learning_rate * (self.step + 1) / recipe.warmup
        done = (self.step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
        return recipe.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)

    def _update_average(self) -> None:
        decay = min(self._recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.sam.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)

    def _save(self) -> None:
        """Write checkpoint and weights, each under its name only when it is whole."""
        state = {
            "sam": self.sam.state_dict(),
            "average": self.average,
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
        }
        partial = self._folder / f".{CHECKPOINT}.partial"
        with partial.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self._folder / CHECKPOINT)
        save_compact(self._folder / WEIGHTS, self._recipe.shape_at(self.step - 1), self.average)

    def _log(self, loss: float, seconds: float) -> None:
        path = self._folder / CURVE
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            if is_new:
                writer.writerow(("step", "loss", "rate", "seconds"))
            writer.writerow((self.step, f"{loss:.6g}", f"{self._rate():.3g}", f"{seconds:.1f}"))


def _moved(prompted: Prompted, device: torch.device) -> Prompted:
    parts = {f.name: getattr(prompted, f.name).to(device) for f in dataclasses.fields(prompted)}
    return Prompted(**parts)
