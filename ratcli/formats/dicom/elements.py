"""Reading single header elements; a value that breaks the standard counts as missing."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence

import pydicom.config
from pydicom.dataset import Dataset

# pydicom's messages echo element values, which may name a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning about, or refusing, values that are slightly off the standard."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...] | None:
    """Return the numbers of an element, or None if it is absent, empty or no number.

    A comma stands for the decimal point, as GDCM reads it; `check_numbers` tells the user.
    """
    found = [_parse(item) for item in strings(dataset, keyword)]
    known = tuple(item for item in found if item is not None)
    return known if known and len(known) == len(found) else None


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first number of an element, or None."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Return the first number of an element as an integer, or None if it has a fraction."""
    found = number(dataset, keyword)
    return int(found) if found is not None and found == int(found) else None


def text(dataset: Dataset, keyword: str) -> str:
    """Return a string without spaces around, values joined by backslashes; empty if absent."""
    value = _value(dataset, keyword)
    if value is None or isinstance(value, (bytes, Dataset)):
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\\".join(str(item).strip() for item in value)
    return str(value).strip()


def strings(dataset: Dataset, keyword: str) -> list[str]:
    """Return the values of an element as they are written; none if it is absent."""
    value = _value(dataset, keyword)
    if value is None or isinstance(value, Dataset):
        return []
    is_one = isinstance(value, (str, bytes)) or not isinstance(value, Sequence)
    return [str(item).strip(" \0") for item in ([value] if is_one else value)]  # type: ignore[attr-defined]


def code(dataset: Dataset, keyword: str) -> str:
    """Return a coded string in upper case, as `text` does."""
    return text(dataset, keyword).upper()


def uid(dataset: Dataset, keyword: str) -> str:
    """Return an identifier, or an empty string if it is not made of digits and dots."""
    text = code(dataset, keyword).strip("\0")
    return text if text.replace(".", "").isdigit() and len(text) <= 64 else ""


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none if it is absent or no sequence."""
    value = _value(dataset, keyword)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [item for item in value if isinstance(item, Dataset)]


def _parse(text: str) -> float | None:
    """Return the number that a text is, or None; `nan`, `inf` and `1_000` are none."""
    point = text.replace(",", ".")
    if not _DECIMAL.fullmatch(point):
        return None
    return float(point) if math.isfinite(float(point)) else None


def _value(dataset: Dataset, keyword: str) -> object:
    """Return an element's value; None if it is absent or cannot be parsed."""
    try:
        with quiet_pydicom():
            value: object = dataset.get(keyword)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, OverflowError):
        return None
    return None if value is None or value == "" else value
