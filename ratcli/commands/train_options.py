"""Options of `rat train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ratcli.commands.options import option
from ratcli.commands.scans import DEVICE_HELP, SPEED, task_names, threads_option
from ratcli.tasks import TASKS

RECIPE = "Recipe"
RUN = "Run"
PUBLISH = "Publishing"


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How `rat train` works; its fields are the options of the command line."""

    task: str | None = option(
        None,
        f"Task to learn: {', '.join(TASKS)}. Not needed with a recipe, which names its task.",
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
        "Folder of the scans to learn from: scans of full quality, for which rat simulates the "
        "inputs, or pairs in its folders low/ and full/.",
        metavar="DIR",
    )
    out: Path | None = option(
        None,
        "Folder for the files of the run: last.pt, best.pt, curve.csv and recipe.toml.",
        short="o", metavar="DIR",
    )  # fmt: skip
    begin: str | None = option(
        None,
        "Start from these installed weights, to tune them.",
        word="from", metavar="NAME", group=RECIPE,
    )  # fmt: skip
    settings: tuple[str, ...] = option(
        (),
        "Change a setting of the recipe, such as --set steps=2000. May be given more than once.",
        word="set", metavar="KEY=VALUE", group=RECIPE,
    )  # fmt: skip
    beta: float | None = option(
        None,
        "Weight of hard regions in the focal region loss. Without it, that of the recipe.",
        least=0,
        group=RECIPE,
    )
    charbonnier: float | None = option(
        None,
        "Use Charbonnier's loss with this epsilon instead of absolute differences.",
        least=0, metavar="EPSILON", group=RECIPE,
    )  # fmt: skip
    cache: Path | None = option(
        None,
        "Folder that keeps the partitions of pairs. Without it, the folder of the run.",
        metavar="DIR", group=RECIPE,
    )  # fmt: skip
    resume: str | None = option(
        None, "Continue the run from its last checkpoint: --resume last.", metavar="last", group=RUN
    )
    until: int = option(
        0,
        "Stop after this step and save a checkpoint. 0, the default, trains to the end.",
        least=0, metavar="STEP", group=RUN,
    )  # fmt: skip
    tensorboard: bool = option(False, "Also write events for TensorBoard.", group=RUN)
    profile: bool = option(
        False,
        "Run a few steps, print how long each part of them takes, and keep nothing.",
        group=RUN,
    )
    publish: str | None = option(
        None,
        "Do not train: make weights of this name from the averaged network of the run.",
        metavar="NAME", group=PUBLISH,
    )  # fmt: skip
    into: Path | None = option(
        None,
        "Folder for the published weights. Without it, the one that RAT_HOME names.",
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
    licence: str = option(
        "not stated",
        "Licence of the published weights, as an SPDX identifier such as Apache-2.0.",
        metavar="SPDX", group=PUBLISH,
    )  # fmt: skip
    device: str = option(
        "auto",
        DEVICE_HELP,
        metavar="DEVICE", group=SPEED,
    )  # fmt: skip
    threads: int = threads_option()
    workers: int = option(
        0,
        "Number of additional processes that prepare examples. The result does not depend on it.",
        least=0, most=1024, metavar="N", group=SPEED,
    )  # fmt: skip
