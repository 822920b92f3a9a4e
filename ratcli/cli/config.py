"""`--config run.toml`: options from a file; the command line takes precedence."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ratcli.cli.console import MESSAGES, ConsoleOptions
from ratcli.commands.options import check_value, described
from ratcli.errors import InputNotFoundError, UsageError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def config_option(options: type) -> inspect.Parameter:
    """Return the parameter `--config` of a command with these options."""

    def use_file(context: typer.Context, path: Path | None) -> Path | None:
        """Make the settings of a file the defaults of the options that are parsed next."""
        if path is not None and not context.resilient_parsing:
            settings = read_settings(path, context.info_name or "")
            context.default_map = by_parameter(settings, options, path)
        return path

    about = typer.Option(
        "--config",
        metavar="FILE",
        callback=use_file,
        is_eager=True,
        help="Read options from this TOML file, such as `task = 'ct-denoise'`. The command line "
        "takes precedence.",
        rich_help_panel=MESSAGES,
        show_default=False,
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter("config", kind, default=None, annotation=Annotated[Path | None, about])


def read_settings(path: Path, command: str) -> dict[str, Any]:
    """Return the settings of a TOML file: those of the whole file, then those of the command.

    Args:
        path: the file.
        command: name of the table that holds settings for this command alone.

    Raises:
        InputNotFoundError: the file does not exist.
        UsageError: it is not TOML.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path.name} does not exist") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.name} is not TOML: {error}") from error
    common = {name: value for name, value in content.items() if not isinstance(value, dict)}
    return {**common, **content.get(command, {})}


def by_parameter(settings: dict[str, Any], options: type, path: Path) -> dict[str, Any]:
    """Check settings, and name them as the command's function does.

    Raises:
        UsageError: a setting is not an option, or its value is not allowed.
    """
    known = {each.word: each for each in (*described(options), *described(ConsoleOptions))}
    chosen = {}
    for name, value in settings.items():
        each = known.get(name.replace("_", "-"))
        if each is None:
            hint = nearest(name.replace("_", "-"), known, "Write options without leading dashes.")
            raise UsageError(f"{path.name} sets '{name}', which is not an option", hint=hint)
        try:
            checked = check_value(each, value)
        except UsageError as error:
            raise UsageError(f"{path.name}: {error}", hint=error.hint) from error
        chosen[each.name] = list(checked) if each.is_several else checked
    return chosen
