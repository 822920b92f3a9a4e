"""The training loop: optimiser, averaged parameters, validation, checkpoints, resuming."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ratcli.errors import OutputError, RatError, UnreadableInputError
from ratcli.network.rat import RAT
from ratcli.training import parallel
from ratcli.training.checkpoints import BEST, CHECKPOINT, CURVE, RECIPE, Curve, load, save
from ratcli.training.loss import degradation_size, focal_region_loss
from ratcli.training.material import Batch, Example, Pool, Source
from ratcli.training.recipe import Recipe, recipe_text
from ratcli.training.stopwatch import NoStopwatch, Stopwatch

LOG = logging.getLogger("ratcli.training")

_COLUMNS = ("step", "loss", "rate", "seconds", "psnr_db")


class DivergedError(RatError):
    """The loss is no number any more."""


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
        is_validated: whether this step ended with a validation.
    """

    step: int
    steps: int
    loss: float
    rate: float
    psnr_db: float
    seconds: float
    is_validated: bool = False


class Trainer:
    """One training run, in a folder of its own.

    Args:
        recipe: what to do.
        source: makes training examples.
        held_out: examples of patients that no training sees.
        folder: where checkpoints and the curve go; made if missing.
        device: where the network runs.
        scored: range of the network's units over which validation measures.

    Attributes:
        network: being trained.
        average: its averaged parameters, which are what ships.
        step: steps done.
        best_db: PSNR of the best validation so far; NaN before the first.
        workers: processes that make examples ahead; they do not change the result.
        watch: counts where the time goes.
        stop: set to true to end after the running step, with a checkpoint.
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
        self._psnr = self.best_db = math.nan
        self.workers = 0
        self.watch: Stopwatch = NoStopwatch(device)
        self.stop = False
        self._curve = Curve(folder / CURVE, _COLUMNS)
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Go on from the folder's last checkpoint.

        Raises:
            UsageError: there is none.
            UnreadableInputError: it is damaged, or of another network.
        """
        state = load(self._folder / CHECKPOINT, self._device)
        try:
            self.network.load_state_dict(state["network"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.average = state["average"]
            self.step, self._psnr = int(state["step"]), float(state["psnr_db"])
            self.best_db = float(state.get("best_db", math.nan))
        except Exception as error:
            raise UnreadableInputError(
                f"{CHECKPOINT} is damaged, or of another recipe: it cannot be resumed"
            ) from error
        self._tell_changes(state.get("recipe", "{}"))
        if parallel.rank() == 0:
            self._curve.cut_after(self.step)

    def keep_recipe(self) -> None:
        """Write the recipe into the folder, so that the run can be resumed and published.

        Raises:
            OutputError: the folder cannot be written.
        """
        try:
            (self._folder / RECIPE).write_text(recipe_text(self._recipe), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{RECIPE} cannot be written: {error.strerror}") from error

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

        Raises:
            DivergedError: the loss is no number.
            OutputError: the folder cannot be written.
        """
        recipe, began = self._recipe, time.monotonic()
        last = min(recipe.steps, recipe.steps if until is None else until)
        if self.step >= last:
            return
        pool = Pool(self._source, recipe.pool, recipe.refresh, self.step, self.workers)
        is_due = True
        while self.step < last and not parallel.any_of(self.stop, self._device):
            with self.watch.part("patches"):
                batch = self._draw(pool)
            rate = learning_rate(recipe, self.step)
            loss = self._train_step(batch, rate)
            self.step += 1
            is_due = self.step % recipe.validate == 0 or self.step == last
            if is_due:
                self._psnr = self.validate()
                self._keep(is_best=not self._psnr <= self.best_db)
            told = Progress(
                self.step, recipe.steps, loss, rate, self._psnr, time.monotonic() - began, is_due
            )
            self._log(told)
            tell(told)
            with self.watch.part("examples"):
                pool.advance()
        if not is_due:
            self._keep(is_best=False)

    def validate(self) -> float:
        """Return the mean PSNR in dB of the averaged network on whole held-out planes.

        Over the scored range alone (CT: -160 to 240 HU), whose width is the data range.
        """
        if not self._held_out:
            return math.nan
        network = RAT(self._recipe.network).to(self._device).eval()
        network.load_state_dict(self.average)
        own = self._held_out[parallel.rank() :: parallel.world()]
        scores = sum(self._score(network, example) for example in own)
        together = parallel.total(torch.tensor(scores, dtype=torch.float64, device=self._device))
        return float(together) / len(self._held_out)

    def measure(self, steps: int) -> dict[str, float]:
        """Return the seconds of each part of a step, a mean over some steps; nothing is kept.

        Args:
            steps: steps to measure, after two to warm up.
        """
        recipe = self._recipe
        pool = Pool(self._source, recipe.pool, recipe.refresh, self.step, self.workers)
        self.watch = Stopwatch(self._device)
        for done in range(steps + 2):
            if done == 2:
                self.watch.reset()
            with self.watch.part("patches"):
                batch = self._draw(pool)
            self._train_step(batch, learning_rate(recipe, self.step))
            with self.watch.part("examples"):
                pool.advance()
            self.step += 1
        return {name: total / steps for name, total in self.watch.seconds.items()}

    def _draw(self, pool: Pool) -> Batch:
        """Cut the patches of a step; each process takes its part of them."""
        recipe = self._recipe
        rng = np.random.default_rng((recipe.seed, 1, self.step))
        is_late = self.step >= recipe.steps - recipe.late_steps
        count = recipe.late_batch if is_late else recipe.batch
        side = recipe.late_patch if is_late else recipe.patch
        batch = pool.draw(rng, count * parallel.world(), side, recipe.network.scale)
        own = slice(parallel.rank() * count, (parallel.rank() + 1) * count)
        return Batch(batch.degraded[own], batch.clean[own], batch.labels[own])

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
        recipe, watch = self._recipe, self.watch
        with watch.part("copy"):
            degraded, clean, labels = (
                part.to(self._device) for part in (batch.degraded, batch.clean, batch.labels)
            )
        self.network.train()
        with watch.part("forward"):
            with self._autocast():
                restored = self.network(degraded, labels)
            if recipe.balance:
                size = degradation_size(degraded, clean) ** recipe.balance
                restored, clean = restored / size, clean / size
            loss = focal_region_loss(restored, clean, labels, recipe.beta, recipe.epsilon)
        with watch.part("backward"):
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            parallel.average_gradients(self.network.parameters())
        with watch.part("update"):
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
            self._optimiser.step()
            self._average_parameters()
            value = float(parallel.mean(loss.detach()))
        if not math.isfinite(value):
            raise DivergedError(
                f"the loss is {value} at step {self.step + 1}",
                hint="Lower learning_rate, or look for damaged scans in the data.",
            )
        return value

    def _average_parameters(self) -> None:
        decay = min(self._recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)

    def _autocast(self) -> torch.autocast:
        half = self._recipe.precision == "bf16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=half)

    def _keep(self, *, is_best: bool) -> None:
        """Write the last checkpoint, and the best one if it is."""
        if is_best:
            self.best_db = self._psnr
        if parallel.rank() == 0:
            state: dict[str, Any] = {
                "network": self.network.state_dict(),
                "average": self.average,
                "optimiser": self._optimiser.state_dict(),
                "step": self.step,
                "psnr_db": self._psnr,
                "best_db": self.best_db,
                "recipe": json.dumps(dataclasses.asdict(self._recipe)),
            }
            save(self._folder / CHECKPOINT, state)
            if is_best:
                best = {key: state[key] for key in ("average", "step", "psnr_db", "recipe")}
                save(self._folder / BEST, best)

    def _tell_changes(self, before: str) -> None:
        """Warn of settings that are not those of the checkpoint."""
        now: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self._recipe)))
        then: dict[str, Any] = json.loads(before)
        changed = sorted(key for key in then.keys() & now.keys() if then[key] != now[key])
        if changed:
            LOG.warning("changed since the checkpoint: %s", ", ".join(changed))

    def _log(self, told: Progress) -> None:
        if parallel.rank() == 0:
            self._curve.add(told.step, (told.loss, told.rate, told.seconds, told.psnr_db))


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
