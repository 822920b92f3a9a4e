"""Files of settings: TOML is read, and tables are checked against a dataclass.

The dataclass is the schema: types, defaults, and bounds as `Annotated[int, Meta(ge=1)]`. Nothing is
built before its table has passed. Each error names the file, the key, what was found and what is
expected.
"""

from __future__ import annotations

import re
import sys
import typing
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from ratcli.errors import RatError, UsageError, nearest
from ratcli.paths import check_file, check_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
"""Bounds that many settings have. With a highest value, nan and infinity are refused, too."""

_Table = TypeVar("_Table")

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
_LONGEST = 60


def read_toml(path: Path, error: type[RatError] = UsageError) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: the file.
        error: what to raise.

    Raises:
        RatError: of that class; the file cannot be read, or is not TOML.
    """
    check_file(check_path(path, error), error, pipes=True)
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise error(f"{path.name} cannot be read: {problem.strerror}") from problem
    except RecursionError as problem:
        raise error(f"{path.name} is nested too deeply") from problem
    except ValueError as problem:
        raise error(f"{path.name} is not TOML: {problem}") from problem
    return table


def checked(
    kind: type[_Table], table: object, name: str, error: type[RatError] = UsageError
) -> _Table:
    """Return a table as the dataclass that describes it.

    Args:
        kind: a dataclass; its `__post_init__` may raise ValueError with a sentence.
        table: what was read.
        name: file or part of a file, for the error.
        error: what to raise.

    Raises:
        RatError: of that class; a key is unknown or missing, or a value does not fit.
    """
    _refuse_unknown(kind, table, name, error)
    try:
        return msgspec.convert(table, kind, dec_hook=lambda inner, value: inner(value))
    except msgspec.ValidationError as problem:
        raise error(f"{name}: {_sentence(str(problem), table)}") from problem


def _refuse_unknown(kind: Any, table: object, name: str, error: type[RatError]) -> None:
    if not isinstance(table, dict):
        return
    hints = typing.get_type_hints(kind)
    for key, value in table.items():
        if key not in hints:
            raise error(f"{name}: {key} is not a setting", hint=nearest(key, hints))
        for inner in (hints[key], *typing.get_args(hints[key])):
            if is_dataclass(inner):
                _refuse_unknown(inner, value, f"{name}, {key}", error)


def _sentence(problem: str, table: Any) -> str:
    """Say in plain words what msgspec found; the value is looked up in the table."""
    text, _, path = problem.partition(" - at `$")
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", text):
        where = f" in {path[1:-1]}" if path else ""
        return f"{missing[1]} is missing{where}"
    expected = re.fullmatch(r"Expected (.*?)(, got .*)?", text)
    if expected is None and not text.startswith("Invalid enum value"):
        return text
    found = table
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        found = found[key] if key else found[int(index)]
    shown = repr(found) if len(repr(found)) <= _LONGEST else f"{repr(found)[:_LONGEST]}..."
    wanted = "one of the known values" if expected is None else _in_words(expected[1])
    return f"{path[1:-1] or 'the content'} is {shown}, expected {wanted}"


def _in_words(expected: str) -> str:
    """Return `int` as "a whole number", and so on."""
    plain = expected.replace(" | null", "").replace("`", "")
    return re.sub(r"\b(int|float|str|bool|array|object)\b", lambda found: _WORDS[found[1]], plain)
