"""`--config run.toml`: defaults of a command's options; the command line wins."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ratcli.errors import InputNotFoundError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _use_file(context: typer.Context, path: Path | None) -> Path | None:
    """Make the settings of a file the defaults of the options that are parsed next."""
    if path is not None and not context.resilient_parsing:
        settings = read_settings(path, context.info_name or "")
        context.default_map = _by_parameter(settings, context, path)
    return path


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        callback=_use_file,
        is_eager=True,
        help="Read options from a TOML file: `task = 'ct-denoise'`.",
        show_default=False,
    ),
]


def read_settings(path: Path, command: str) -> dict[str, Any]:
    """Return the settings of a TOML file: those of the whole file, then those of the command.

    Args:
        path: the file.
        command: name of the table that holds settings for this command alone.

    Raises:
        InputNotFoundError: there is no such file.
        UsageError: it is no TOML.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path.name} does not exist") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.name} is no TOML: {error}") from error
    common = {name: value for name, value in content.items() if not isinstance(value, dict)}
    return {**common, **content.get(command, {})}


def _by_parameter(settings: dict[str, Any], context: typer.Context, path: Path) -> dict[str, Any]:
    """Rename settings from the words of the command line to those of the function."""
    names = {
        option.removeprefix("--"): parameter
        for parameter in context.command.params
        for option in parameter.opts
        if option.startswith("--") and option not in ("--config", "--help")
    }
    chosen = {}
    for name, value in settings.items():
        word = name.replace("_", "-")
        if word not in names:
            near = difflib.get_close_matches(word, names, n=1)
            hint = f"Did you mean {near[0]}?" if near else "Options stand there without dashes."
            raise UsageError(f"{path.name} sets '{name}', which is no option", hint=hint)
        parameter = names[word]
        # An option that may be given again takes one value from a file as well.
        several = getattr(parameter, "multiple", False) and not isinstance(value, list)
        chosen[parameter.name or ""] = [value] if several else value
    return chosen
