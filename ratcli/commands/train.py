"""`rat train`: how a network is trained, tuned, measured and published."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratcli.commands.options import settle, takes
from ratcli.commands.train_options import TrainOptions
from ratcli.errors import OutputError, UsageError
from ratcli.tasks import TASKS, get_task

if TYPE_CHECKING:
    import torch

    from ratcli.training.loop import StepDone
    from ratcli.training.prepare import RestorationTrainer
    from ratcli.training.recipe import Recipe

_PROFILED_STEPS = 10


@dataclass(frozen=True)
class TrainResult:
    """The result of a training.

    Attributes:
        folder: of the run.
        steps: steps done in all; 0 if nothing was trained.
        best_psnr_db: of the best validation; NaN if no patient was held out.
        checkpoint: the last checkpoint; None if nothing was saved.
        weights: the file that was published, or None.
        seconds: time of each part of a step, if it was measured.
    """

    folder: Path
    steps: int
    best_psnr_db: float
    checkpoint: Path | None
    weights: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class TrainListener:
    """Hears how a training proceeds; override the methods that you need."""

    def running(self) -> AbstractContextManager[object]:
        """Return a context manager that is entered while the network trains."""
        return nullcontext()

    def step(self, done: StepDone) -> None:
        """A step is done."""

    def wants_end(self) -> bool:
        """Return whether the run should end after this step, with a checkpoint."""
        return False


SILENT_TRAINING = TrainListener()


def train(
    options: TrainOptions | None = None,
    *,
    listener: TrainListener = SILENT_TRAINING,
    **changes: Any,
) -> TrainResult:
    """Train a network on scans of full quality or on pairs, or tune an installed one.

    No patient is used both for training and for validation.

    Args:
        options: the options; None for the defaults.
        listener: is called after each step, and can end the run.
        changes: single options by name, which replace those in `options`.

    Returns:
        The run's folder, steps, best PSNR and checkpoint.

    Raises:
        RatError: the training failed; the error has the exit code of the command line.
        KeyboardInterrupt: the listener ended the run; it can be resumed.
        TypeError: an option does not exist.
    """
    settled = settle(TrainOptions, options, changes)
    out = _needed(settled.out, "--out", "a folder for the run")
    if settled.publish is not None:
        return _publish(settled, settled.publish, out)
    _check_options(settled)
    data = _needed(settled.data, "--data", "the folder of the scans to learn from")
    _check_folder(settled, out)
    recipe = _recipe(settled, out)
    with _device(settled) as device:
        trainer = _trainer(settled, recipe, data, out, device)
        if settled.profile:
            return TrainResult(out, 0, math.nan, None, seconds=trainer.measure(_PROFILED_STEPS))
        return _run(settled, trainer, recipe, out, listener)


takes(TrainOptions)(train)


def _check_options(options: TrainOptions) -> None:
    """Refuse options that cannot work, before anything is read."""
    if options.resume not in (None, "last"):
        raise UsageError(f"--resume takes 'last', not '{options.resume}'")
    if options.tensorboard:
        from ratcli.training.board import check_installed

        check_installed()


def _needed(path: Path | None, word: str, what: str) -> Path:
    if path is None:
        raise UsageError(f"{word} is missing", hint=f"Give {what}.")
    return path


def _recipe(options: TrainOptions, out: Path) -> Recipe:
    """Return the named, kept or default recipe, with the changes that the options ask for."""
    from ratcli.training.prepare import tune_from
    from ratcli.training.recipe import (
        default_recipe,
        find_recipe,
        kept_recipe,
        read_recipe,
        with_settings,
    )

    task, begin = options.task, options.begin
    file = find_recipe(options.recipe) if options.recipe else None
    if file is None and options.resume:
        file = kept_recipe(out)
    if file is not None:
        recipe = read_recipe(file)
        if task is not None and task != recipe.task:
            raise UsageError(f"{file.name} is a recipe for {recipe.task}, not for {task}")
    elif task is None:
        raise UsageError("no task was named", hint=f"Add --task with one of {', '.join(TASKS)}.")
    else:
        recipe = default_recipe(get_task(task), is_tuning=begin is not None)
    losses = {"beta": options.beta, "epsilon": options.charbonnier}
    words = [f"{key}={value!r}" for key, value in losses.items() if value is not None]
    recipe = with_settings(recipe, [*options.settings, *words])
    if begin is not None:
        recipe = tune_from(recipe, begin, is_network_given=file is not None)
    return recipe


def _check_folder(options: TrainOptions, out: Path) -> None:
    """Refuse to overwrite another run, and to continue one that does not exist."""
    from ratcli.training.checkpoints import CHECKPOINT

    if options.resume and not (out / CHECKPOINT).exists():
        raise UsageError(
            f"there is no training run in {out.name}: it has no {CHECKPOINT}",
            hint="Name the folder of the run with --out, or begin one without --resume.",
        )
    if not options.resume and not options.profile and (out / CHECKPOINT).exists():
        raise OutputError(
            f"{out.name} already contains a run",
            hint="Continue it with --resume last, or name another folder.",
        )


@contextmanager
def _device(options: TrainOptions) -> Iterator[torch.device]:
    """Choose the device; under torchrun, join the other processes, and leave them at the end."""
    from ratcli.network.device import choose_device
    from ratcli.training import parallel

    chosen = choose_device(parallel.local_device(options.device), options.threads)
    if not parallel.is_started():
        yield chosen
        return
    parallel.join(chosen)
    try:
        yield chosen
    finally:
        parallel.leave()


def _trainer(
    options: TrainOptions, recipe: Recipe, data: Path, out: Path, device: torch.device
) -> RestorationTrainer:
    """Read the scans and prepare the run: from its checkpoint, from weights, or from the start."""
    from ratcli.training.prepare import begin_from, prepare

    trainer = prepare(recipe, data, out, device, cache=options.cache)
    trainer.workers = options.workers
    if options.resume:
        trainer.resume()
    elif options.begin is not None:
        begin_from(trainer, options.begin)
    return trainer


def _run(
    options: TrainOptions,
    trainer: RestorationTrainer,
    recipe: Recipe,
    out: Path,
    listener: TrainListener,
) -> TrainResult:
    from ratcli.training import parallel
    from ratcli.training.board import boards
    from ratcli.training.checkpoints import CHECKPOINT
    from ratcli.training.recipe import keep_recipe

    is_first = parallel.rank() == 0
    if is_first:
        keep_recipe(out, recipe)

    def hear(done: StepDone) -> None:
        listener.step(done)
        trainer.stop = trainer.stop or listener.wants_end()

    with boards(out, is_wanted=options.tensorboard and is_first) as written, listener.running():
        trainer.listeners += written
        trainer.run(hear, options.until or None)
    if trainer.stop:
        raise KeyboardInterrupt
    return TrainResult(out, trainer.step, trainer.best_db, out / CHECKPOINT)


def _publish(options: TrainOptions, name: str, out: Path) -> TrainResult:
    """Make weights with this name from the averaged network of a run."""
    from ratcli.training.checkpoints import BEST, CHECKPOINT
    from ratcli.training.publish import Published, publish
    from ratcli.training.recipe import KEPT, find_recipe, read_recipe

    home = os.environ.get("RAT_HOME")
    folder = options.into or (Path(home) if home else None)
    if folder is None:
        raise UsageError(
            "no folder is named for the published weights",
            hint="Set RAT_HOME, where rat looks for weights, or name a folder with --into.",
        )
    file = find_recipe(options.recipe) if options.recipe else out / KEPT
    if not file.exists():
        raise UsageError(
            f"there is no training run in {out.name}: it has no {KEPT}",
            hint="Name the folder of the run with --out.",
        )
    recipe = read_recipe(file)
    text = options.summary or f"{get_task(recipe.task).summary}; trained with rat train"
    checkpoint = BEST if options.best else CHECKPOINT
    about = Published(name, text, options.licence)
    weights = publish(out, recipe, folder, about, checkpoint)
    return TrainResult(out, 0, math.nan, out / checkpoint, weights)
