"""Options of a command, described once: type, default, bounds, unit and help of each field.

The command line, the Python functions, `--config` files, manifests and the reference in the
documentation are all made from these descriptions. A new option is one field.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from ratcli.errors import UsageError, nearest
from ratcli.paths import check_path

MAIN = ""
"""The group of the options that most people need; it is shown first."""

_LARGEST = 1 << 63
"""No option needs larger whole numbers; libraries take no larger ones."""

_Options = TypeVar("_Options")
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Option:
    """How one field of an options dataclass appears on the command line and in the documentation.

    Attributes:
        help: one or two sentences, with the unit and with what happens without the option.
        short: letter of the short form, without the dash.
        group: heading under which `--help` shows it.
        least: lowest value that is allowed, or None.
        most: highest value that is allowed, or None.
        metavar: placeholder of the value in `--help`.
        word: name on the command line, if it differs from that of the field.
        also: other names on the command line, from older versions.
        names: returns the names that may be given, for completion and for a hint.
        parse: returns the number that a text stands for, for options that take names or units
            besides numbers; raises `UsageError`.
        changes_pixels: whether another value changes the output; then a manifest compares it.
    """

    help: str
    short: str = ""
    group: str = MAIN
    least: float | None = None
    most: float | None = None
    metavar: str = ""
    word: str = ""
    also: tuple[str, ...] = ()
    names: Callable[[], Sequence[str]] | None = None
    parse: Callable[[str], float] | None = None
    changes_pixels: bool = False


@dataclass(frozen=True)
class Described:
    """An option with what its field says.

    Attributes:
        name: of the field.
        word: on the command line, without dashes.
        kind: `bool`, `int`, `float`, `str` or `Path`.
        default: the value without the option.
        choices: all allowed values of a `Literal` field; empty for others.
        is_optional: whether None is allowed.
        is_several: whether the option may be given more than once.
        option: everything else.
    """

    name: str
    word: str
    kind: type
    default: Any
    choices: tuple[str, ...]
    is_optional: bool
    is_several: bool
    option: Option


def option(default: Any, help: str, **facts: Any) -> Any:
    """Return a dataclass field that is an option; `facts` are those of `Option`."""
    return field(default=default, metadata={"option": Option(help, **facts)})


def described(options: type) -> tuple[Described, ...]:
    """Return the options of a dataclass: the main group first, its own before inherited ones."""
    hints = typing.get_type_hints(options)
    own = inspect.get_annotations(options)
    items = [item for item in dataclasses.fields(options) if "option" in item.metadata]
    items.sort(key=lambda item: (item.metadata["option"].group != MAIN, item.name not in own))
    found = []
    for item in items:
        about: Option = item.metadata["option"]
        kind, choices, is_optional, is_several = _parts_of(hints[item.name])
        word = about.word or item.name.replace("_", "-")
        default = None if item.default is MISSING else item.default
        found.append(
            Described(item.name, word, kind, default, choices, is_optional, is_several, about)
        )
    return tuple(found)


def settle(options: type[_Options], given: _Options | None, changes: Mapping[str, Any]) -> _Options:
    """Return options with some values changed; the changed values are checked.

    Args:
        options: the dataclass.
        given: the values to start from; None for the defaults.
        changes: values by field name. Paths may be strings.

    Raises:
        TypeError: an option does not exist.
        UsageError: a value has the wrong type, is out of bounds, or is not among the choices.
    """
    known = {each.name: each for each in described(options)}
    if unknown := [name for name in changes if name not in known]:
        hint = nearest(unknown[0], known)
        raise TypeError(f"there is no option '{unknown[0]}'. {hint}".strip(". "))
    values = {name: check_value(known[name], value) for name, value in changes.items()}
    start = options() if given is None else given
    settled: _Options = dataclasses.replace(start, **values)  # type: ignore[type-var]
    return settled


def recorded(options: Any) -> dict[str, Any]:
    """Return the values that change the output, by field name, for a manifest to compare."""
    return {
        each.name: _plain(getattr(options, each.name))
        for each in described(type(options))
        if each.option.changes_pixels
    }


def takes(options: type) -> Callable[[_Function], _Function]:
    """Show the options of a dataclass as the keyword arguments of a function, for `help()`.

    The function itself is returned, so no frame is added between caller and work.
    """

    def shown(function: _Function) -> _Function:
        plain = inspect.signature(function)
        own = [p for p in plain.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default)
            for each in described(options)
        ]
        function.__signature__ = plain.replace(parameters=own + more)  # type: ignore[attr-defined]
        lines = [f"    {each.name}: {each.option.help}" for each in described(options)]
        function.__doc__ = "\n".join([function.__doc__ or "", "Options:", *lines])
        return function

    return shown


def check_name(what: str, name: str, names: Sequence[str]) -> None:
    """Refuse a name that does not exist.

    Args:
        what: the kind of thing, as "partition".
        name: the name that was given.
        names: those that exist.

    Raises:
        UsageError: the name does not exist; the hint has the nearest one, or all.
    """
    if name not in names:
        hint = nearest(name, names, f"There are {', '.join(names)}.")
        raise UsageError(f"there is no {what} '{name}'", hint=hint)


def check_value(known: Described, value: Any) -> Any:
    """Check a value of an option, and return it in the type of the field.

    Raises:
        UsageError: the value has the wrong type, is out of bounds, or is not among the choices.
    """
    if value is None and known.is_optional:
        return None
    if known.is_several:
        several = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_checked_one(known, one) for one in several)
    return _checked_one(known, value)


def check_settings(
    settings: Mapping[str, Any], options: Sequence[Described], where: str
) -> dict[str, Any]:
    """Check the settings of a table, and return them by the names of the fields.

    Args:
        settings: names with dashes or underscores, and values.
        options: those that may be set.
        where: what the table is called in messages.

    Raises:
        UsageError: a setting is not an option, or its value is not allowed.
    """
    known = {each.word: each for each in options}
    chosen = {}
    for name, value in settings.items():
        each = known.get(name.replace("_", "-"))
        if each is None:
            hint = nearest(name.replace("_", "-"), known, "Write options without leading dashes.")
            raise UsageError(f"{where} sets '{name}', which is not an option", hint=hint)
        try:
            chosen[each.name] = check_value(each, value)
        except UsageError as error:
            raise UsageError(f"{where}: {error}", hint=error.hint) from error
    return chosen


def _parts_of(hint: Any) -> tuple[type, tuple[str, ...], bool, bool]:
    """Return kind, choices, whether None is allowed and whether there may be several."""
    arms = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    is_optional = type(None) in arms
    (kind,) = [arm for arm in arms if arm is not type(None)]
    is_several = typing.get_origin(kind) is tuple
    if is_several:
        kind = typing.get_args(kind)[0]
    choices: tuple[str, ...] = ()
    if typing.get_origin(kind) is Literal:
        choices, kind = typing.get_args(kind), str
    return kind, choices, is_optional, is_several


def _checked_one(known: Described, value: Any) -> Any:
    word, about = known.word, known.option
    if known.kind is Path and isinstance(value, (str, os.PathLike)):
        return check_path(Path(value))
    if about.parse is not None and isinstance(value, str):
        value = about.parse(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and isinstance(value, int) and abs(value) > _LARGEST:
        raise UsageError(f"{word} must be a smaller number, not one of {len(str(value))} digits")
    if known.kind is float and is_number:
        value = float(value)
    if not isinstance(value, known.kind) or isinstance(value, bool) != (known.kind is bool):
        raise UsageError(f"{word} must be {_KINDS[known.kind]}, not {value!r}")
    if known.choices and value not in known.choices:
        raise UsageError(f"{word} must be {' or '.join(known.choices)}, not {value!r}")
    if about.names is not None and value:
        check_name(word, str(value), about.names())
    if is_number:
        _check_bounds(word, value, about.least, about.most)
    return value


def _check_bounds(word: str, value: Any, low: float | None, high: float | None) -> None:
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    if not (low <= value <= high and math.isfinite(value)):
        raise UsageError(f"{word} must be {_bounds(low, high)}, not {value:.12g}")


_KINDS: dict[type, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path",
}  # fmt: skip


def _bounds(low: float, high: float) -> str:
    if math.isinf(high):
        return f"at least {low:.12g}" if math.isfinite(low) else "a finite number"
    return f"from {low:.12g} to {high:.12g}" if math.isfinite(low) else f"at most {high:.12g}"


def _plain(value: Any) -> Any:
    """Return a value that JSON can represent."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or None
    return str(value) if isinstance(value, Path) else value
