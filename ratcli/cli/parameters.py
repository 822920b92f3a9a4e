"""Makes the parameters of Typer from the options of a command; only this module knows both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ratcli.cli.console import MESSAGES, ConsoleOptions, talking
from ratcli.commands.options import MAIN, Described, check_settings, check_value, described
from ratcli.errors import InputNotFoundError, UsageError, nearest
from ratcli.paths import check_path
from ratcli.schema import read_toml

_METAVARS: dict[type, str] = {int: "N", float: "X", str: "TEXT", Path: "PATH"}


@dataclass(frozen=True)
class NoOptions:
    """A command without options of its own."""


@dataclass(frozen=True)
class Argument:
    """What a command is applied to.

    Attributes:
        metavar: its placeholder in the help.
        help: what it is.
        kind: its type.
        default: value if it is not given; without a default it must be given.
    """

    metavar: str
    help: str
    kind: Any
    default: Any = inspect.Parameter.empty


SCANS = Argument("INPUT", "Files, folders, or zip archives of a series.", list[Path])


@dataclass(frozen=True)
class Verb:
    """A command of the command line.

    Attributes:
        options: its options dataclass.
        run: called with the argument, the options of the command, and those of the console.
        help: first sentence of its help.
        examples: command lines, and what each does.
        argument: what it is applied to; None for a command without argument.
        has_config_file: whether `--config` names a file of options.
    """

    options: type
    run: Callable[[Any, Any, ConsoleOptions], object]
    help: str
    examples: Sequence[tuple[str, str]] = ()
    argument: Argument | None = SCANS
    has_config_file: bool = True


def app_of(verb: Verb) -> typer.Typer:
    """Return a Typer application of one command."""
    app = typer.Typer(add_completion=False)
    app.command(cls=PlainCommand, help=verb.help, epilog=epilog(verb.examples))(function_of(verb))
    return app


class PlainHelp:
    """Makes the help of a command show no types of Python, such as `<bool>` beside a flag."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters; newer versions of Typer would show their types."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in parameters:
            if each.param_type_name == "argument":
                each.display_type_rich = lambda ctx: ""
            elif each.metavar is None:
                each.metavar = ""
        return parameters


class PlainCommand(PlainHelp, TyperCommand):
    """A command with plain help."""


class PlainGroup(PlainHelp, TyperGroup):
    """A group of commands with plain help."""


def function_of(verb: Verb) -> Callable[..., None]:
    """Return the function that Typer calls: its parameters are the verb's options."""
    wanted = described(verb.options)
    console = described(ConsoleOptions)

    def run(**values: Any) -> None:
        values.pop("config", None)
        given = values.pop("argument", None)
        shown = ConsoleOptions(**_taken(values, console))
        with talking(shown):
            verb.run(given, verb.options(**_taken(values, wanted)), shown)

    parameters = [] if verb.argument is None else [_argument(verb.argument)]
    ordered = sorted((*wanted, *console), key=lambda each: each.option.group != MAIN)
    parameters += [_parameter(each) for each in ordered]
    if verb.has_config_file:
        parameters.append(config_option(verb.options))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def epilog(examples: Sequence[tuple[str, str]]) -> str:
    """Return the end of a command's help: command lines, and what each does."""
    lines = [f"[bold]{line}[/bold]  # {text}" for line, text in examples]
    return "\n\n".join(["Examples:", *lines])


def _argument(about: Argument) -> inspect.Parameter:
    info = typer.Argument(
        metavar=about.metavar,
        help=about.help,
        show_default=False,
        callback=_checked_path if about.kind is Path else None,
    )
    return _keyword("argument", Annotated[about.kind, info], about.default)


def _parameter(each: Described) -> inspect.Parameter:
    about = each.option
    words = [f"--{word}" for word in (each.word, *about.also)]
    words += [f"-{about.short}"] if about.short else []
    names = about.names or ((lambda: each.choices) if each.choices else None)
    info = typer.Option(
        *words,
        help=about.help,
        metavar=_metavar(each),
        min=about.least,
        max=about.most,
        parser=_parser(each),
        rich_help_panel=about.group or None,
        show_default=each.default not in (None, "", (), False),
        callback=_checked_path if each.kind is Path else None,
        autocompletion=None if names is None else _completion(names),
    )
    return _keyword(each.name, Annotated[_type_of(each), info], _default_of(each))


def _parser(each: Described) -> Callable[[Any], Any] | None:
    """Return what checks a value as every other way to give an option does; None for flags."""
    if each.kind in (bool, Path):
        return None

    def parse(value: Any) -> Any:
        try:
            checked = check_value(each, _number(each.kind, value))
        except UsageError as error:
            dashes = "--" if str(error).startswith(f"{each.word} must") else ""
            raise UsageError(f"{dashes}{error}", hint=error.hint) from error
        return checked[0] if each.is_several else checked

    return parse


def _number(kind: type, value: Any) -> Any:
    """Return the number in a word of the command line, or the word itself."""
    try:
        return kind(value) if kind in (int, float) else value
    except ValueError:
        return value


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _metavar(each: Described) -> str:
    if each.kind is bool:
        return ""
    return each.option.metavar or "|".join(each.choices) or _METAVARS[each.kind]


def _type_of(each: Described) -> Any:
    kind: Any = each.kind
    if each.is_several:
        return list[kind] | None
    return kind | None if each.is_optional else kind


def _default_of(each: Described) -> Any:
    return None if each.is_several else each.default


def _completion(names: Callable[[], Sequence[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def _checked_path(path: Path | None) -> Path | None:
    """Refuse `--report -o out`, which would write a folder named `-o`, and what is no path."""
    if path is not None and str(path).startswith("-"):
        raise UsageError(
            f"a path is missing before {path}", hint="For a file of that name, give its whole path."
        )
    return path and check_path(path)


def _taken(values: dict[str, Any], wanted: Sequence[Described]) -> dict[str, Any]:
    """Return the values of some options, as their dataclass takes them."""
    taken = {}
    for each in wanted:
        value = values[each.name]
        if each.is_several:
            value = tuple(value or ())
        taken[each.name] = value
    return taken


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
        UsageError: it is not TOML, or has a table for what is not a command.
    """
    from ratcli.cli.app import COMMANDS

    if not check_path(path).exists():
        raise InputNotFoundError(f"{path.name} does not exist")
    content = read_toml(path)
    common = {name: value for name, value in content.items() if not isinstance(value, dict)}
    for name in content:
        # `weights` is an option, too.
        if name in COMMANDS and name in common and name != "weights":
            raise UsageError(f"{path.name}: {name} is {common[name]!r}, expected a table")
        if name not in COMMANDS and name not in common:
            hint = nearest(name, COMMANDS)
            raise UsageError(f"{path.name} has a table '{name}', which is not a command", hint=hint)
    return {**common, **content.get(command, {})}


def by_parameter(settings: dict[str, Any], options: type, path: Path) -> dict[str, Any]:
    """Check settings, and name them as the command's function does.

    Raises:
        UsageError: a setting is not an option, or its value is not allowed.
    """
    known = (*described(options), *described(ConsoleOptions))
    checked = check_settings(settings, known, path.name)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in checked.items()}
