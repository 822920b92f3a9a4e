"""A recipe: everything that decides what a training run does, with all its default values."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from ratcli.errors import OutputError, UsageError, nearest
from ratcli.network.rat import NetworkSettings
from ratcli.paths import check_path
from ratcli.schema import Amount, Count, Share, checked, read_toml
from ratcli.task import Task

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEPT = "recipe.toml"
"""Name of a run's own recipe in its folder."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Attributes:
        task: name of the task.
        network: shape of the network.
        seed: decides initial parameters, examples and patches.
        steps: optimiser steps.
        batch: patches of a step.
        patch: side of a patch in pixels.
        late_steps: number of last steps, which see fewer and larger patches.
        late_batch: patches of a late step.
        late_patch: side of a late patch in pixels.
        learning_rate: highest rate, reached after `warmup` steps, then cosine to `final_rate`.
        final_rate: rate of the last step.
        warmup: steps of linear warm-up.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        ema: decay of the averaged parameters, which are what ships.
        beta: weight of hard regions in the focal region loss.
        epsilon: Charbonnier's epsilon; 0 for absolute differences.
        balance: power to which the degradation of each example is raised before errors are divided
            by it (see `loss.degradation_size`). With 0 the errors stay as they are; with 1 examples
            of little noise count as much as those of strong noise, and epsilon is relative. Must
            be 0 for a task that changes the grid.
        pool: prepared planes from which patches are cut.
        refresh: planes of the pool replaced after each step.
        procedural: share of procedural planes among the examples.
        noise_hu: range of the noise's standard deviation in soft tissue, log-uniform (CT).
        reduction: lowest and highest factor by which counts are reduced, log-uniform (PET).
        realistic: share of fields that also get blur, noise and JPEG compression (pathology).
        partition: partitioner of the examples.
        validate: steps between validations.
        precision: `fp32` or `bf16`.
        train: scans to learn from, relative to the data folder; each entry is one patient. If it
            is empty, all scans in the folder are used, and some patients are held out.
        held_out: scans of patients that only validation sees.
        tuned_from: name of the weights that the run began with; empty for none.
    """

    task: str
    network: NetworkSettings
    seed: Annotated[int, Meta(ge=0)] = 0
    steps: Count = 4000
    batch: Count = 8
    patch: Count = 128
    late_steps: Annotated[int, Meta(ge=0)] = 0
    late_batch: Count = 2
    late_patch: Count = 256
    learning_rate: Amount = 5e-4
    final_rate: Amount = 1e-6
    warmup: Annotated[int, Meta(ge=0)] = 200
    weight_decay: Amount = 1e-4
    clip: Amount = 1.0
    ema: Share = 0.999
    beta: Amount = 1.0
    epsilon: Amount = 0.0
    balance: Share = 0.0
    pool: Count = 64
    refresh: Annotated[int, Meta(ge=0)] = 1
    procedural: Share = 0.3
    noise_hu: tuple[Amount, Amount] = (6.0, 110.0)
    reduction: tuple[Amount, Amount] = (1.5, 24.0)
    realistic: Share = 0.5
    partition: str = "superpixel"
    validate: Count = 500
    precision: str = "bf16"
    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    tuned_from: str = ""

    def __post_init__(self) -> None:
        """Refuse settings with which no run can work.

        Raises:
            ValueError: a patch does not fit the scale, the precision is unknown, or a patient is
                both trained on and held out.
        """
        for key in ("patch", "late_patch"):
            if getattr(self, key) % self.network.scale:
                raise ValueError(f"{key} is not a multiple of {self.network.scale}")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision is '{self.precision}', expected fp32 or bf16")
        if both := sorted(set(self.train) & set(self.held_out)):
            raise ValueError(f"it both trains on and holds out: {', '.join(both)}")


# Tuning of installed weights on a few scans.
_TUNING: dict[str, Any] = {
    "steps": 600, "learning_rate": 1e-4, "warmup": 30, "late_steps": 0, "validate": 100,
}  # fmt: skip


def default_recipe(task: Task, *, is_tuning: bool = False) -> Recipe:
    """Return the settings for scans that no recipe names: a compact network of a task.

    Args:
        task: what the network is to restore.
        is_tuning: whether the run begins with installed weights; it then takes few steps at a low
            rate.
    """
    is_pet = task.name == "pet-synthesis"
    network = NetworkSettings(
        channels=task.channels,
        width=24 if task.channels == 3 else 32,
        encoder_blocks=(1, 2),
        decoder_blocks=(2, 1),
        groups=(3, 3),
        heads=4,
        scale=task.scale,
        equivariant=is_pet,
    )
    recipe = Recipe(
        task.name, network, learning_rate=8e-4, patch=96, late_steps=600, late_patch=192,
        epsilon=0.5 if is_pet else 0.0, balance=float(is_pet), validate=250,
    )  # fmt: skip
    return dataclasses.replace(recipe, **_TUNING) if is_tuning else recipe


def recipe_from(table: dict[str, Any], name: str) -> Recipe:
    """Make a recipe of a table; `network` is a table of its own.

    Raises:
        UsageError: a setting is unknown, missing, or of another kind or range.
    """
    return checked(Recipe, {"network": {}, **table}, name)


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with rat, by name: in the package, or in a checkout of it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "recipes"
    folder = installed if installed.is_dir() else package.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_recipe(name: str) -> Path:
    """Return the file of a recipe: one that comes with rat, by name, or a file.

    Raises:
        UsageError: there is neither.
    """
    shipped = shipped_recipes()
    if name in shipped:
        return shipped[name]
    if check_path(Path(name)).is_file() or Path(name).suffix:
        return Path(name)
    hint = nearest(name, shipped, f"Give a file, or one of {', '.join(shipped)}.")
    raise UsageError(f"there is no recipe '{name}'", hint=hint)


def kept_recipe(folder: Path) -> Path | None:
    """Return the recipe with which a run was started, or None."""
    kept = folder / KEPT
    return kept if kept.is_file() else None


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: the file is missing, is not TOML, or has an unknown setting.
    """
    table = read_toml(path)
    if "shape" in table and "task" not in table:
        raise UsageError(
            f"{path.name} is a recipe for the compact SAM, which rat train does not train",
            hint=f"In a checkout of rat, run `python -m research.sam --config {path.name}`.",
        )
    return recipe_from(table, path.name)


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return a recipe with some settings changed.

    Args:
        recipe: to change.
        settings: texts such as `beta=0.001`, with values as in TOML.

    Raises:
        UsageError: there is no such setting, or the value does not fit it.
    """
    table = dataclasses.asdict(recipe)
    for words in settings:
        key, _, value = words.partition("=")
        key = key.strip().replace("-", "_")
        try:
            table[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            table[key] = value.strip()
    return recipe_from(table, "the settings given")


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe as TOML, as `read_recipe` reads it."""
    table = dataclasses.asdict(recipe)
    network = table.pop("network")
    lines = [_line(key, value) for key, value in table.items()]
    lines += ["", "[network]", *(_line(key, value) for key, value in network.items())]
    return "\n".join(lines) + "\n"


def keep_recipe(folder: Path, recipe: Recipe) -> None:
    """Write a recipe into the folder of its run, so that it can be resumed and published.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        (folder / KEPT).write_text(recipe_text(recipe), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{KEPT} cannot be written: {error.strerror}") from error


def _line(key: str, value: Any) -> str:
    return f"{key} = {json.dumps(value)}"
