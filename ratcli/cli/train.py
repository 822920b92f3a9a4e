"""`rat train`: train a network by a recipe, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratcli.cli import options
from ratcli.cli.console import Talk, say, talking

if TYPE_CHECKING:
    from ratcli.training.loop import Progress, Trainer

app = typer.Typer(add_completion=False)

_TOLD_EVERY = 50
_HELD_OUT_PLANES = 6


@app.command(
    epilog=options.examples(
        ("rat train --config recipes/ct-denoise.toml --data scans -o runs/ct", "from the start"),
        (
            "rat train --config recipes/ct-denoise.toml --data scans -o runs/ct --resume",
            "go on from the last checkpoint",
        ),
    )
)
def train(
    config: Annotated[Path, typer.Option("--config", help="The recipe, a TOML file.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the scans it names.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints and curve.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")
    ] = False,
    until: Annotated[
        int, typer.Option("--until", help="Stop at this step, resumable; 0 for the last.")
    ] = 0,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    debug: options.Debug = False,
) -> None:
    """Train a network."""
    with talking(Talk(debug=debug)):
        trainer = _prepare(config, data, out, device, threads)
        if resume:
            trainer.resume()
        trainer.run(_tell, until or None)


def _prepare(config: Path, data: Path, out: Path, device: str, threads: int) -> Trainer:
    from ratcli.network.device import choose_device
    from ratcli.tasks import get_task
    from ratcli.training.data import read_patients
    from ratcli.training.loop import Trainer
    from ratcli.training.recipe import read_recipe
    from ratcli.training.sources import MATERIALS, held_out_examples, make_source

    recipe = read_recipe(config)
    task = get_task(recipe.task)
    chosen = choose_device(device, threads)
    source = make_source(task, recipe, read_patients(data, recipe.train, task))
    planes = read_patients(data, recipe.held_out, task)
    held_out = held_out_examples(task, recipe, planes, _HELD_OUT_PLANES)
    return Trainer(recipe, source, held_out, out, chosen, MATERIALS[task.name].scored)


def _tell(progress: Progress) -> None:
    if progress.step % _TOLD_EVERY and progress.step != progress.steps:
        return
    say(
        f"step {progress.step}/{progress.steps}  loss {progress.loss:.5f}  "
        f"rate {progress.rate:.2e}  psnr {progress.psnr_db:.2f} dB  {progress.seconds:.0f} s"
    )
