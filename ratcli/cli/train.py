"""`rat train`: train or fine-tune a network, resumable, on one or several devices."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratcli.cli import options
from ratcli.cli.console import ConsoleOptions, say, talking
from ratcli.errors import OutputError, UsageError
from ratcli.tasks import TASKS, get_task

if TYPE_CHECKING:
    import torch

    from ratcli.training.prepare import RestorationTrainer
    from ratcli.training.recipe import Recipe

LOG = logging.getLogger("ratcli.cli")

RECIPE = "Recipe"
RUN = "Run"
PUBLISH = "Publishing"

_PROFILED_STEPS = 10

app = typer.Typer(add_completion=False)

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A recipe in TOML, see recipes/. Without it, a compact network for the task.",
        rich_help_panel=RECIPE,
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Scans of full quality, degraded on the fly; or pairs in its folders low/ and full/.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="DIR", help="Folder of the run: checkpoints, curve, recipe.",
        show_default=False,
    ),
]  # fmt: skip
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="NAME",
        help="Begin with these installed weights, to tune them.",
        rich_help_panel=RECIPE,
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the recipe: --set steps=2000 --set seed=3.",
        rich_help_panel=RECIPE,
        show_default=False,
    ),
]
Beta = Annotated[
    float | None,
    typer.Option(
        "--beta",
        min=0.0,
        help="Weight of hard regions in the focal region loss.",
        rich_help_panel=RECIPE,
        show_default=False,
    ),
]
Charbonnier = Annotated[
    float | None,
    typer.Option(
        "--charbonnier",
        min=0.0,
        metavar="EPSILON",
        help="Charbonnier's loss with this epsilon in place of absolute differences.",
        rich_help_panel=RECIPE,
        show_default=False,
    ),
]
Resume = Annotated[
    str | None,
    typer.Option(
        "--resume",
        metavar="last",
        help="Go on from the run's last checkpoint.",
        rich_help_panel=RUN,
        show_default=False,
    ),
]
Until = Annotated[
    int,
    typer.Option(
        "--until",
        min=0,
        metavar="STEP",
        help="Stop there, resumable; 0: the last step.",
        rich_help_panel=RUN,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        metavar="N",
        help="Processes that degrade scans ahead; the result does not depend on them.",
        rich_help_panel=options.SPEED,
    ),
]
TensorBoard = Annotated[
    bool,
    typer.Option("--tensorboard", help="Write TensorBoard events too.", rich_help_panel=RUN),
]
Profile = Annotated[
    bool,
    typer.Option(
        "--profile",
        help="Run a few steps, print where their time goes, and keep nothing.",
        rich_help_panel=RUN,
    ),
]
PublishAs = Annotated[
    str | None,
    typer.Option(
        "--publish",
        metavar="NAME",
        help="Train nothing; make the run's averaged network weights of that name.",
        rich_help_panel=PUBLISH,
        show_default=False,
    ),
]
Into = Annotated[
    Path | None,
    typer.Option(
        "--into",
        metavar="DIR",
        help="Folder of the published weights. Without it, RAT_HOME.",
        rich_help_panel=PUBLISH,
        show_default=False,
    ),
]
Best = Annotated[
    bool,
    typer.Option(
        "--best",
        help="Publish the checkpoint that validated best, not the last.",
        rich_help_panel=PUBLISH,
    ),
]
Summary = Annotated[
    str,
    typer.Option(
        "--summary",
        metavar="TEXT",
        help="One line on the published weights.",
        rich_help_panel=PUBLISH,
        show_default=False,
    ),
]


@app.command(
    epilog=options.examples(
        ("rat train --config recipes/ct-denoise.toml --data scans -o runs/ct", "by a recipe"),
        (
            "rat train --config recipes/ct-denoise.toml --data scans -o runs/ct --resume last",
            "goes on",
        ),
        ("rat train -t ct-denoise --data study -o runs/own", "study/low and study/full, or scans"),
        ("rat train -t ct-denoise --from ct-denoise --data study -o runs/tuned", "fine-tunes"),
        ("rat train -o runs/tuned --publish my-ct", "for rat restore --weights my-ct"),
        ("torchrun --nproc-per-node 4 --no-python rat train ...", "four GPUs"),
    )
)
def train(
    task: options.TaskName = None,
    data: Data = None,
    out: Out = None,
    config: ConfigFile = None,
    begin: From = None,
    settings: Settings = None,
    beta: Beta = None,
    charbonnier: Charbonnier = None,
    cache: options.Cache = None,
    resume: Resume = None,
    until: Until = 0,
    tensorboard: TensorBoard = False,
    profile: Profile = False,
    publish: PublishAs = None,
    into: Into = None,
    best: Best = False,
    summary: Summary = "",
    device: options.Device = "auto",
    threads: options.Threads = 0,
    workers: Workers = 0,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
    no_progress: options.NoProgress = False,
    log_file: options.LogFile = None,
) -> None:
    """Train a network on scans of full quality or on pairs, or tune an installed one.

    Patients are never split over training and validation. The run's folder gets last.pt, best.pt,
    curve.csv and recipe.toml.
    """
    out = _needed(out, "--out", "a folder for the run")
    if resume not in (None, "last"):
        raise UsageError(f"--resume takes 'last', not '{resume}'")
    is_follower = int(os.environ.get("RANK", "0")) > 0
    talk = ConsoleOptions(
        quiet=quiet or is_follower,
        verbose=verbose,
        no_progress=no_progress,
        log_file=log_file,
        debug=debug,
    )
    with talking(talk):
        from ratcli.cli.training import run, tell_profile, together
        from ratcli.training import parallel
        from ratcli.training.recipe_files import keep_recipe

        if publish is not None:
            _publish(out, config, publish, into, summary, best=best)
            return
        if tensorboard:
            from ratcli.training.board import check_installed

            check_installed()
        data = _needed(data, "--data", "the scans to learn from")
        words = [*(settings or ()), *_loss_words(beta, charbonnier)]
        recipe = _recipe(task, config or _kept_recipe(out, resume), begin, words)
        _check_folder(out, resume, profile)
        with together(device, threads) as chosen:
            trainer = _ready(recipe, data, out, chosen, None if resume else begin, cache)
            trainer.workers = workers
            if resume:
                trainer.resume()
            if profile:
                tell_profile(trainer.measure(_PROFILED_STEPS))
            else:
                if parallel.rank() == 0:
                    keep_recipe(out, recipe)
                run(trainer, talk, out, until, tensorboard=tensorboard)


def _needed(path: Path | None, option: str, what: str) -> Path:
    if path is None:
        raise UsageError(f"{option} is missing: {what}")
    return path


def _loss_words(beta: float | None, charbonnier: float | None) -> list[str]:
    given = {"beta": beta, "epsilon": charbonnier}
    return [f"{key}={value!r}" for key, value in given.items() if value is not None]


def _kept_recipe(out: Path, resume: str | None) -> Path | None:
    """Return the recipe that a run was begun with."""
    from ratcli.training.recipe_files import KEPT

    kept = out / KEPT
    return kept if resume and kept.is_file() else None


def _recipe(task: str | None, config: Path | None, begin: str | None, words: list[str]) -> Recipe:
    """Return the recipe of a file, or the task's default; changed as the words say."""
    from ratcli.training.prepare import tune_from
    from ratcli.training.recipe import default_recipe
    from ratcli.training.recipe_files import read_recipe, with_settings

    if config is not None:
        recipe = read_recipe(config)
        if task is not None and task != recipe.task:
            raise UsageError(f"{config.name} is a recipe for {recipe.task}, not for {task}")
    elif task is None:
        raise UsageError("no task was named", hint=f"Add --task with one of {', '.join(TASKS)}.")
    else:
        recipe = default_recipe(get_task(task), is_tuning=begin is not None)
    recipe = with_settings(recipe, words)
    if begin is not None:
        recipe = tune_from(recipe, begin, is_network_given=config is not None)
    return recipe


def _check_folder(out: Path, resume: str | None, profile: bool) -> None:
    """Refuse to overwrite another run."""
    from ratcli.training.checkpoints import CHECKPOINT

    if not resume and not profile and (out / CHECKPOINT).exists():
        raise OutputError(
            f"{out.name} holds a run already",
            hint="Go on with it by --resume last, or name another folder.",
        )


def _ready(
    recipe: Recipe,
    data: Path,
    out: Path,
    device: torch.device,
    begin: str | None,
    cache: Path | None,
) -> RestorationTrainer:
    """Read the scans and make the run, from installed weights where they are named."""
    from ratcli.training.prepare import begin_from, prepare

    trainer = prepare(recipe, data, out, device, cache=cache)
    if begin is not None:
        begin_from(trainer, begin)
    return trainer


def _publish(
    out: Path, config: Path | None, name: str, into: Path | None, summary: str, *, best: bool
) -> None:
    """Make a run's averaged network weights of a name."""
    from ratcli.training.checkpoints import BEST, CHECKPOINT
    from ratcli.training.publish import About, publish
    from ratcli.training.recipe_files import KEPT, read_recipe

    home = os.environ.get("RAT_HOME")
    folder = into or (Path(home) if home else None)
    if folder is None:
        raise UsageError(
            "there is no folder to publish into",
            hint="Set RAT_HOME, where rat looks for weights, or name a folder with --into.",
        )
    recipe = read_recipe(config or out / KEPT)
    text = summary or f"{get_task(recipe.task).summary}; trained with rat train"
    path = publish(out, recipe, folder, About(name, text), BEST if best else CHECKPOINT)
    LOG.info("%s is made; rat restore --weights %s uses it", path.name, name)
    say(str(path))
