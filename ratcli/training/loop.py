"""The training loop: optimiser, averaged parameters, validation, checkpoints, resuming."""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ratcli.errors import UnreadableInputError, UsageError
from ratcli.network.rat import RAT
from ratcli.training.loss import focal_region_loss
from ratcli.training.material import Batch, Example, Pool, Source
from ratcli.training.recipe import Recipe

CHECKPOINT = "last.pt"
CURVE = "curve.csv"
_COLUMNS = ("step", "loss", "rate", "seconds", "psnr_db")


@dataclass(frozen=True)
class Progress:
    """What a run has reached: told after every step.

    Attributes:
        step: steps done.
        steps: steps in all.
        loss: of the last step.
        rate: learning rate of the last step.
        psnr_db: of the last validation, over the scored range; NaN before.
        seconds: since this run began or went on.
    """

    step: int
    steps: int
    loss: float
    rate: float
    psnr_db: float
    seconds: float


class Trainer:
    """One training run, in a folder of its own.

    Args:
        recipe: what to do.
        source: makes training examples.
        held_out: examples of patients that no training sees.
        folder: where checkpoints and the curve go; made if missing.
        device: where the network runs.
        scored: range of the network's units over which validation measures.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: Source,
        held_out: Sequence[Example],
        folder: Path,
        device: torch.device,
        scored: tuple[float, float] = (-0.5, 0.5),
    ) -> None:
        self._recipe = recipe
        self._source = source
        self._held_out = held_out
        self._folder = folder
        self._device = device
        self._scored = scored
        torch.manual_seed(recipe.seed)
        self.network = RAT(recipe.network).to(device)
        _start_as_identity(self.network)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self._optimiser = torch.optim.AdamW(
            _decayed(self.network, recipe.weight_decay), lr=recipe.learning_rate
        )
        self.step = 0
        self._psnr = math.nan
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Go on from the folder's last checkpoint.

        Raises:
            UsageError: there is none.
            UnreadableInputError: it is damaged, or of another network.
        """
        path = self._folder / CHECKPOINT
        if not path.is_file():
            raise UsageError(f"there is no {CHECKPOINT} to resume from in {self._folder.name}")
        try:
            state = torch.load(path, map_location=self._device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.average = state["average"]
            self.step, self._psnr = int(state["step"]), float(state["psnr_db"])
        except Exception as error:
            raise UnreadableInputError(
                f"{CHECKPOINT} is damaged, or of another recipe: it cannot be resumed"
            ) from error

    def initialise(self, state: dict[str, Tensor]) -> None:
        """Begin from given parameters, to tune them."""
        self.network.load_state_dict(state)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def run(
        self, tell: Callable[[Progress], None] = lambda _: None, until: int | None = None
    ) -> None:
        """Train to the recipe's last step, or to an earlier one.

        Args:
            tell: called after every step.
            until: step to stop at, with a checkpoint from which to go on.
        """
        recipe, began = self._recipe, time.monotonic()
        pool = Pool(self._source, recipe.pool, recipe.refresh, self.step)
        last = min(recipe.steps, recipe.steps if until is None else until)
        while self.step < last:
            rng = np.random.default_rng((recipe.seed, 1, self.step))
            is_late = self.step >= recipe.steps - recipe.late_steps
            count = recipe.late_batch if is_late else recipe.batch
            side = recipe.late_patch if is_late else recipe.patch
            batch = pool.draw(rng, count, side, recipe.network.scale)
            rate = learning_rate(recipe, self.step)
            loss = self._train_step(batch, rate)
            self.step += 1
            if self.step % recipe.validate == 0 or self.step == last:
                self._psnr = self.validate()
                self._save()
            told = Progress(
                self.step, recipe.steps, loss, rate, self._psnr, time.monotonic() - began
            )
            self._log(told)
            tell(told)
            pool.advance()

    def validate(self) -> float:
        """Return the mean PSNR in dB of the averaged network on whole held-out planes.

        Over the scored range alone (CT: -160 to 240 HU), whose width is the data range.
        """
        if not self._held_out:
            return math.nan
        network = RAT(self._recipe.network).to(self._device).eval()
        network.load_state_dict(self.average)
        scores = [self._score(network, example) for example in self._held_out]
        return float(np.mean(scores))

    def _score(self, network: RAT, example: Example) -> float:
        degraded = torch.from_numpy(example.degraded)[None].to(self._device)
        labels = torch.from_numpy(example.labels)[None].to(self._device)
        with torch.inference_mode(), self._autocast():
            restored = network(degraded, labels)[0].float().cpu().numpy()
        low, high = self._scored
        difference = (restored.clip(low, high) - example.clean.clip(low, high)) / (high - low)
        return -10 * math.log10(max(float(np.mean(difference**2)), 1e-12))

    def _train_step(self, batch: Batch, rate: float) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        degraded, clean, labels = (
            part.to(self._device) for part in (batch.degraded, batch.clean, batch.labels)
        )
        self.network.train()
        with self._autocast():
            restored = self.network(degraded, labels)
        recipe = self._recipe
        loss = focal_region_loss(restored, clean, labels, recipe.beta, recipe.epsilon)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        self._optimiser.step()
        self._average_parameters()
        return float(loss.detach())

    def _average_parameters(self) -> None:
        decay = min(self._recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)

    def _autocast(self) -> torch.autocast:
        half = self._recipe.precision == "bf16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=half)

    def _save(self) -> None:
        """Write the checkpoint under its name only when it is whole."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "psnr_db": self._psnr,
        }
        partial = self._folder / f".{CHECKPOINT}.partial"
        with partial.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self._folder / CHECKPOINT)

    def _log(self, told: Progress) -> None:
        path = self._folder / CURVE
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            if is_new:
                writer.writerow(_COLUMNS)
            numbers = (told.loss, told.rate, told.seconds, told.psnr_db)
            writer.writerow([told.step, *(f"{number:.6g}" for number in numbers)])


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine to the final rate."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    cosine = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return recipe.final_rate + (recipe.learning_rate - recipe.final_rate) * cosine


def _start_as_identity(network: RAT) -> None:
    """Make the first output equal the input: a denoiser learns the difference."""
    torch.nn.init.zeros_(network.ending.weight)
    if network.ending.bias is not None:
        torch.nn.init.zeros_(network.ending.bias)


def _decayed(network: RAT, decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels, but no norms, biases and gates."""
    heavy = [p for name, p in network.named_parameters() if _is_matrix(name, p)]
    light = [p for name, p in network.named_parameters() if not _is_matrix(name, p)]
    return [{"params": heavy, "weight_decay": decay}, {"params": light, "weight_decay": 0.0}]


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and not name.endswith(("beta", "gamma"))
