"""An evaluation as a JSON text, and back, so that a batch can keep it in little memory.

Nothing is lost but the sample planes. Infinity and nan, which JSON does not have, become texts.
No torch here.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from ratcli.evaluation.results import Evaluation


def to_text(found: Evaluation) -> str:
    """Return an evaluation without its samples as JSON."""
    return json.dumps(_encode(replace(found, samples=())), allow_nan=False)


def from_text(text: str) -> Evaluation:
    """Return the evaluation of which `to_text` made this.

    Raises:
        TypeError, ValueError, KeyError: it is not an evaluation, or of another version of rat.
    """
    found: Evaluation = _decode(Evaluation, json.loads(text))
    return found


def _encode(value: Any) -> Any:
    if is_dataclass(value):
        return {part.name: _encode(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _encode(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "values": _encode(value.ravel().tolist())}
    if isinstance(value, (list, tuple)):
        return [_encode(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _decode(kind: Any, value: Any) -> Any:
    """Return data as a type: a dataclass, a tuple, a mapping, an array, or a plain value."""
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _decode(hints[name], part) for name, part in value.items()})  # type: ignore[operator]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        known = [arm for arm in inner if arm is not type(None)]
        return None if value is None else _decode(known[0], value)
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_decode(part, each) for part, each in zip(kinds, value, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {inner[0](key): _decode(inner[1], part) for key, part in value.items()}
    if origin is np.ndarray:
        return np.array(value["values"], np.float64).reshape(value["shape"])
    return float(value) if kind is float else value
