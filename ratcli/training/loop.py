"""The training loop: steps, averaged parameters, validation, checkpoints, resuming."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor

from ratcli.errors import RatError, UnreadableInputError
from ratcli.training import parallel
from ratcli.training.checkpoints import BEST, CHECKPOINT, CURVE, Curve, load, save
from ratcli.training.objective import (
    AnyBatch,
    Feed,
    Objective,
    Schedule,
    average_decay,
    learning_rate,
)
from ratcli.training.stopwatch import NoStopwatch, Stopwatch

LOG = logging.getLogger("ratcli.training")

_COLUMNS = ("step", "loss", "rate", "seconds", "psnr_db")
_WARM_UP_STEPS = 2


class DivergedError(RatError):
    """The loss is not a number any more."""


@dataclass(frozen=True)
class StepDone:
    """What a run has reached; listeners get it after every step.

    Attributes:
        step: steps done.
        steps: steps in all.
        loss: of the last step.
        rate: learning rate of the last step.
        psnr_db: of the last validation, over the scored range; NaN before.
        seconds: since this run was started or resumed.
        is_validated: whether this step ended with a validation and a checkpoint.
    """

    step: int
    steps: int
    loss: float
    rate: float
    psnr_db: float
    seconds: float
    is_validated: bool = False


StepListener = Callable[[StepDone], None]


class Trainer(Generic[AnyBatch]):
    """One training run, in a folder of its own.

    Args:
        recipe: how to optimise; a dataclass, since checkpoints keep its values.
        objective: what to learn.
        folder: where checkpoints and the curve go; made if missing.
        device: where the network runs.

    Attributes:
        network: being trained.
        average: its averaged parameters, which are what ships.
        step: steps done.
        best_db: PSNR in dB of the best validation so far; NaN before the first.
        workers: processes that make examples ahead; they do not change the result.
        listeners: told after every step, in this order.
        watch: measures how long the parts of a step take.
        stop: set to true to end after the running step, with a checkpoint.
    """

    def __init__(
        self, recipe: Schedule, objective: Objective[AnyBatch], folder: Path, device: torch.device
    ) -> None:
        self._recipe = recipe
        self._objective = objective
        self._folder = folder
        self._device = device
        self.step = 0
        self._psnr = self.best_db = math.nan
        self.workers = 0
        self.listeners: list[StepListener] = []
        self.watch: Stopwatch = NoStopwatch(device)
        self.stop = False
        torch.manual_seed(recipe.seed)
        self._build(objective.stage(0))
        self.average = _copied(self.network.state_dict())
        self._curve = Curve(folder / CURVE, _COLUMNS)
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Continue from the last checkpoint in the folder.

        Raises:
            UsageError: there is none.
            UnreadableInputError: it is damaged, or of another network.
        """
        state = load(self._folder / CHECKPOINT, self._device)
        try:
            self.step = int(state["step"])
            self._build(self._objective.stage(self.step - 1))
            # Old runs of the compact SAM call their network "sam".
            self.network.load_state_dict(state["network" if "network" in state else "sam"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.average = state["average"]
            self._psnr = float(state.get("psnr_db", math.nan))
            self.best_db = float(state.get("best_db", math.nan))
        except Exception as error:
            raise UnreadableInputError(
                f"{CHECKPOINT} cannot be resumed: it is damaged, or belongs to another recipe"
            ) from error
        self._warn_of_changes(state.get("recipe", "{}"))
        if parallel.rank() == 0:
            self._curve.cut_after(self.step)

    def initialise(self, state: dict[str, Tensor]) -> None:
        """Begin from given parameters, to tune them."""
        self.network.load_state_dict(state)
        self.average = _copied(self.network.state_dict())

    def run(self, listener: StepListener | None = None, until: int | None = None) -> None:
        """Train to the recipe's last step, or to an earlier one.

        Args:
            listener: told after every step, besides those in `listeners`.
            until: step to stop at, with a checkpoint from which the run can be continued.

        Raises:
            DivergedError: the loss is not a number.
            OutputError: the folder cannot be written.
        """
        steps, began = self._recipe.steps, time.monotonic()
        last = min(steps, steps if until is None else until)
        listeners = [*self.listeners, *([listener] if listener else [])]
        feed, is_due = None, True
        while self.step < last and not parallel.any_of(self.stop, self._device):
            if self._enter_stage() or feed is None:
                feed = self._objective.feed(self.step, self.workers)
            loss, rate = self._advance(feed)
            is_due = self.step % self._recipe.validate == 0 or self.step == last
            if is_due:
                self._psnr = self.validate()
                self._keep(is_best=not self._psnr <= self.best_db)
            seconds = time.monotonic() - began
            done = StepDone(self.step, steps, loss, rate, self._psnr, seconds, is_due)
            self._add_to_curve(done)
            for listen in listeners:
                listen(done)
            with self.watch.part("examples"):
                feed.advance()
        if not is_due:
            self._keep(is_best=False)

    def validate(self) -> float:
        """Return the score of the averaged network: PSNR in dB, NaN if nothing is held out."""
        network = self._objective.network(self._stage).to(self._device).eval()
        network.load_state_dict(self.average)
        with torch.inference_mode(), self._autocast():
            return self._objective.score(network, self._device)

    def measure(self, steps: int) -> dict[str, float]:
        """Return the seconds of each part of a step, a mean over some steps; nothing is kept.

        Args:
            steps: steps to measure, after two to warm up.
        """
        feed = self._objective.feed(self.step, self.workers)
        self.watch = Stopwatch(self._device)
        for done in range(steps + _WARM_UP_STEPS):
            if done == _WARM_UP_STEPS:
                self.watch.reset()
            self._advance(feed)
            with self.watch.part("examples"):
                feed.advance()
        return {name: total / steps for name, total in self.watch.seconds.items()}

    def _build(self, stage: int) -> None:
        """Make network and optimiser for a stage."""
        self._stage = stage
        self.network = self._objective.network(stage).to(self._device).train()
        groups = self._objective.groups(self.network)
        self._optimiser = torch.optim.AdamW(groups, lr=self._recipe.learning_rate)

    def _enter_stage(self) -> bool:
        """If a new stage begins, fit the parameters to its network; return whether one begins."""
        stage = self._objective.stage(self.step)
        if stage == self._stage:
            return False
        state = self._objective.fitted(self.network.state_dict(), stage)
        self._build(stage)
        self.network.load_state_dict(state)
        self.average = self._objective.fitted(self.average, stage)
        return True

    def _advance(self, feed: Feed[AnyBatch]) -> tuple[float, float]:
        """Take one step; return its loss and its learning rate."""
        with self.watch.part("patches"):
            batch = feed.draw(self.step)
        rate = learning_rate(self._recipe, self.step)
        loss = self._train_step(batch, rate)
        self.step += 1
        return loss, rate

    def _train_step(self, batch: AnyBatch, rate: float) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        with self.watch.part("copy"):
            batch = batch.to(self._device)
        self.network.train()
        with self.watch.part("forward"):
            with self._autocast():
                output = self._objective.forward(self.network, batch)
            loss = self._objective.loss(output, batch)
        with self.watch.part("backward"):
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            parallel.average_gradients(self.network.parameters())
        with self.watch.part("update"):
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._recipe.clip)
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
        decay = average_decay(self._recipe, self.step)
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)

    def _autocast(self) -> torch.autocast:
        half = self._recipe.precision == "bf16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=half)

    def _keep(self, *, is_best: bool) -> None:
        """Write the last checkpoint, and also the best one if `is_best`."""
        if is_best:
            self.best_db = self._psnr
        if parallel.rank() != 0:
            return
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "psnr_db": self._psnr,
            "best_db": self.best_db,
            "recipe": json.dumps(_values(self._recipe)),
        }
        save(self._folder / CHECKPOINT, state)
        if is_best:
            best = {key: state[key] for key in ("average", "step", "psnr_db", "recipe")}
            save(self._folder / BEST, best)

    def _warn_of_changes(self, before: str) -> None:
        """Warn of settings that differ from those in the checkpoint."""
        now: dict[str, Any] = json.loads(json.dumps(_values(self._recipe)))
        then: dict[str, Any] = json.loads(before)
        changed = sorted(key for key in then.keys() & now.keys() if then[key] != now[key])
        if changed:
            LOG.warning("changed since the checkpoint: %s", ", ".join(changed))

    def _add_to_curve(self, done: StepDone) -> None:
        if parallel.rank() == 0:
            self._curve.add(done.step, (done.loss, done.rate, done.seconds, done.psnr_db))


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def _values(recipe: Any) -> dict[str, Any]:
    return dataclasses.asdict(recipe)
