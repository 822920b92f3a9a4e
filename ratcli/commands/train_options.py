"""Options of `rat train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ratcli.commands.options import option
from ratcli.commands.scans import SPEED, task_names
from ratcli.tasks import TASKS

RECIPE = "Recipe"
RUN = "Run"
PUBLISH = "Publishing"


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
