"""`rat train`: its options, and how a network is trained, tuned, measured and published."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratcli.commands.options import option, settle, takes
from ratcli.commands.scans import SPEED, task_names
from ratcli.errors import OutputError, UsageError
from ratcli.tasks import TASKS, get_task

if TYPE_CHECKING:
    import torch

    from ratcli.training.loop import StepDone
    from ratcli.training.prepare import RestorationTrainer
    from ratcli.training.recipe import Recipe

RECIPE = "Recipe"
RUN = "Run"
PUBLISH = "Publishing"
_PROFILED_STEPS = 10


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How `rat train` works; the fields are the options of the command line, too."""

    task: str | None = option(
        None,
        f"What the network learns to do: {', '.join(TASKS)}. A recipe names its task itself.",
        short="t", metavar="TASK", names=task_names,
    )  # fmt: skip
    recipe: str | None = option(
        None,
        "Settings of the training: the name of a recipe that comes with rat, such as ct-denoise, "
        "or a TOML file. Without it, rat trains a compact network for the task.",
        also=("config",), metavar="NAME|FILE",
    )  # fmt: skip
    data: Path | None = option(
        None,
        "Folder of the scans to learn from. Scans of full quality are degraded by rat; pairs are "
        "taken from its folders low/ and full/.",
        metavar="DIR",
    )
    out: Path | None = option(
        None,
        "Folder of the run, which gets last.pt, best.pt, curve.csv and recipe.toml.",
        short="o", metavar="DIR",
    )  # fmt: skip
    begin: str | None = option(
        None,
        "Begin with these installed weights, to tune them.",
        word="from", metavar="NAME", group=RECIPE,
    )  # fmt: skip
    settings: tuple[str, ...] = option(
        (),
        "Change a setting of the recipe, such as --set steps=2000. May be given again.",
        word="set", metavar="KEY=VALUE", group=RECIPE,
    )  # fmt: skip
    beta: float | None = option(
        None, "Weight of hard regions in the focal region loss.", least=0, group=RECIPE
    )
    charbonnier: float | None = option(
        None,
        "Use Charbonnier's loss with this epsilon in place of absolute differences.",
        least=0, metavar="EPSILON", group=RECIPE,
    )  # fmt: skip
    cache: Path | None = option(
        None,
        "Keep the partitions of pairs in this folder. Without it, they are kept in the run's.",
        metavar="DIR", group=RECIPE,
    )  # fmt: skip
    resume: str | None = option(
        None, "Continue the run from its last checkpoint.", metavar="last", group=RUN
    )
    until: int = option(
        0,
        "Stop after this step, with a checkpoint to continue from. 0 trains to the end.",
        least=0, metavar="STEP", group=RUN,
    )  # fmt: skip
    tensorboard: bool = option(False, "Also write events for TensorBoard.", group=RUN)
    profile: bool = option(
        False,
        "Run a few steps, print how long their parts take, and keep nothing.",
        group=RUN,
    )
    publish: str | None = option(
        None,
        "Do not train: make weights of this name from the run's averaged network.",
        metavar="NAME", group=PUBLISH,
    )  # fmt: skip
    into: Path | None = option(
        None,
        "Folder of the published weights. Without it, RAT_HOME.",
        metavar="DIR", group=PUBLISH,
    )  # fmt: skip
    best: bool = option(
        False,
        "Publish the checkpoint with the highest validation PSNR instead of the last one.",
        group=PUBLISH,
    )
    summary: str = option(
        "", "One line about the published weights.", metavar="TEXT", group=PUBLISH
    )
    device: str = option(
        "auto",
        "Device of the network: auto, cpu, cuda, cuda:1 or mps. Only auto chooses for you.",
        metavar="DEVICE", group=SPEED,
    )  # fmt: skip
    threads: int = option(
        0, "Number of processor threads; 0 uses all.", least=0, metavar="N", group=SPEED
    )
    workers: int = option(
        0,
        "Number of processes that prepare examples. The result does not depend on it.",
        least=0, metavar="N", group=SPEED,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainResult:
    """What a training came to.

    Attributes:
        folder: of the run.
        steps: steps done since the run began; 0 for a published run.
        best_psnr_db: of the best validation; NaN if no patient was held out.
        checkpoint: the last one; None if nothing was kept.
        weights: the file that was published, or None.
        seconds: of each part of a step, where they were measured.
    """

    folder: Path
    steps: int
    best_psnr_db: float
    checkpoint: Path | None
    weights: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class TrainListener:
    """Hears how a training is getting on; every method may be overridden, none needs to be."""

    def running(self) -> AbstractContextManager[object]:
        """Return what is entered while the network trains."""
        return nullcontext()

    def step(self, done: StepDone) -> None:
        """One more step is done."""

    def wants_end(self) -> bool:
        """Tell whether the run is to end after this step, with a checkpoint."""
        return False


SILENT_TRAINING = TrainListener()


def train(
    options: TrainOptions | None = None,
    *,
    listener: TrainListener = SILENT_TRAINING,
    **changes: Any,
) -> TrainResult:
    """Train a network on scans of full quality or on pairs, or tune an installed one.

    No patient is used both to learn from and to validate on.

    Args:
        options: how; None for the defaults.
        listener: hears every step, and may end the run.
        changes: single options by name, instead of those in `options`.

    Returns:
        The run's folder, steps, best PSNR and checkpoint.

    Raises:
        RatError: with the exit code of the command line.
        KeyboardInterrupt: the listener ended the run; it can be resumed.
        TypeError: there is no such option.
    """
    settled = settle(TrainOptions, options, changes)
    out = _needed(settled.out, "--out", "a folder for the run")
    if settled.resume not in (None, "last"):
        raise UsageError(f"--resume takes 'last', not '{settled.resume}'")
    if settled.publish is not None:
        return _publish(settled, settled.publish, out)
    if settled.tensorboard:
        from ratcli.training.board import check_installed

        check_installed()
    data = _needed(settled.data, "--data", "the scans to learn from")
    recipe = _recipe(settled, out)
    _check_folder(settled, out)
    with _device(settled) as device:
        trainer = _trainer(settled, recipe, data, out, device)
        if settled.profile:
            seconds = trainer.measure(_PROFILED_STEPS)
            return TrainResult(out, 0, trainer.best_db, None, seconds=seconds)
        return _run(settled, trainer, recipe, out, listener)


takes(TrainOptions)(train)


def _needed(path: Path | None, word: str, what: str) -> Path:
    if path is None:
        raise UsageError(f"{word} is missing: {what}")
    return path


def _recipe(options: TrainOptions, out: Path) -> Recipe:
    """Return the recipe that was named or kept, or the task's default, with all changes."""
    from ratcli.training.prepare import tune_from
    from ratcli.training.recipe import default_recipe
    from ratcli.training.recipe_files import find_recipe, kept_recipe, read_recipe, with_settings

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
    """Refuse to overwrite another run."""
    from ratcli.training.checkpoints import CHECKPOINT

    if not options.resume and not options.profile and (out / CHECKPOINT).exists():
        raise OutputError(
            f"{out.name} holds a run already",
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
    """Read the scans and make the run: from its checkpoint, from weights, or anew."""
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
    from ratcli.training.recipe_files import keep_recipe

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
    """Make weights of a name from a run's averaged network."""
    from ratcli.training.checkpoints import BEST, CHECKPOINT
    from ratcli.training.publish import About, publish
    from ratcli.training.recipe_files import KEPT, find_recipe, read_recipe

    home = os.environ.get("RAT_HOME")
    folder = options.into or (Path(home) if home else None)
    if folder is None:
        raise UsageError(
            "there is no folder to publish into",
            hint="Set RAT_HOME, where rat looks for weights, or name a folder with --into.",
        )
    recipe = read_recipe(find_recipe(options.recipe) if options.recipe else out / KEPT)
    text = options.summary or f"{get_task(recipe.task).summary}; trained with rat train"
    checkpoint = BEST if options.best else CHECKPOINT
    weights = publish(out, recipe, folder, About(name, text), checkpoint)
    return TrainResult(out, 0, float("nan"), out / checkpoint, weights)
