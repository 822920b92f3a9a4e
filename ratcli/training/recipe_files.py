"""Recipes as TOML files: finds them by name, reads, changes and writes them."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ratcli.errors import OutputError, UsageError, nearest
from ratcli.training.recipe import Recipe, recipe_from

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEPT = "recipe.toml"
"""Name of a run's own recipe in its folder."""


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
    if Path(name).is_file() or Path(name).suffix:
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
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the recipe {path.name}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the recipe {path.name} is not TOML: {error}") from error
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
    return recipe_from(table, "with the settings given")


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
