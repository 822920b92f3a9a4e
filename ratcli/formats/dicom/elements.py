"""Header elements one by one: a value that breaks the standard counts as missing, or is refused.

Numbers that decide values and places are refused or noticed by name.

Source: PS3.5, 6.2 (decimal strings); GDCM reads a comma in one as the decimal point.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence

import pydicom.config
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from ratcli.errors import UnreadableInputError
from ratcli.formats.wording import counted

# pydicom's messages echo element values, which may name a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_VALUES = ("RescaleSlope", "RescaleIntercept")
_PLACES = (
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagePositionPatient",
    "ImageOrientationPatient",
)
_GROUPS = (
    "PixelValueTransformationSequence",
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
)


_DEEPEST = 16
_QUOTED = re.compile(r"[\d\s.,_+\\eE-]*|[+-]?(nan|inf)", re.IGNORECASE | re.ASCII)


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


def is_localizer(dataset: Dataset) -> bool:
    """Return whether the header says that the image is a localizer (scout, topogram).

    Source: PS3.3, C.8.2.1.1.1 (value 3 of Image Type).
    """
    return "LOCALIZER" in code(dataset, "ImageType").split("\\")


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
    except Exception:  # pydicom raises many classes, and some are no subclass of ValueError
        return None
    return None if value is None or value == "" else value


def check_numbers(dataset: Dataset, name: str) -> list[str]:
    """Refuse numbers that cannot be read, and return notices of those that are odd.

    Args:
        dataset: the header of an image.
        name: of the file, for messages.

    Raises:
        UnreadableInputError: a value is no number, an element has more or fewer values than the
            standard gives it, or a CT image has only one half of its rescale.
    """
    notices: dict[str, str] = {}
    modality = code(dataset, "Modality")
    for part in (dataset, *_functional_parts(dataset)):
        _check_rescale(part, modality, name)
        for keyword in (*_VALUES, *_PLACES):
            written = strings(part, keyword)
            if not any(written):
                continue
            if reason := _refusal(part, keyword, written):
                raise UnreadableInputError(
                    f"{name}: {keyword} is {_shown(written)}, {reason}",
                    hint=f"Correct {keyword} in the header.",
                )
            if any("," in text for text in written):
                notices.setdefault(
                    keyword,
                    f"{keyword} has a decimal comma ({_shown(written)}), read as a decimal point",
                )
            if keyword == "PixelSpacing" and min(numbers(part, keyword) or ()) <= 0:
                notice = f"PixelSpacing is {_shown(written)}, so that the spacing is not known"
                notices["no spacing"] = notice
    return list(notices.values())


def _refusal(dataset: Dataset, keyword: str, written: list[str]) -> str:
    """Return why the numbers of an element cannot be used; empty if they can."""
    expected = int(dictionary_VM(keyword))
    if numbers(dataset, keyword) is None:
        return "which is not a number"
    if len(written) != expected:
        return f"but {counted(expected, 'number')} must be given, not {len(written)}"
    return ""


def correct_decimal_commas(dataset: Dataset, depth: int = 0) -> None:
    """Write decimal strings with a comma as the standard wants them, in sequences too.

    Args:
        dataset: the header; changed.
        depth: number of sequences around it; only `_DEEPEST` are searched.
    """
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if element is None or tag.is_private:
            continue
        if not _may_hold_comma(element):
            continue
        if element.VR == "SQ" and depth < _DEEPEST:
            for item in items(dataset, dataset[tag].keyword):
                correct_decimal_commas(item, depth + 1)
        elif _is_decimal(element):
            keyword = dataset[tag].keyword
            found = numbers(dataset, keyword)
            if found and any("," in text for text in strings(dataset, keyword)):
                fixed = [format_number_as_ds(number) for number in found]
                setattr(dataset, keyword, fixed if len(fixed) > 1 else fixed[0])


def _functional_parts(dataset: Dataset) -> Iterator[Dataset]:
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in items(dataset, groups):
            for keyword in _GROUPS:
                yield from items(group, keyword)


def _check_rescale(part: Dataset, modality: str, name: str) -> None:
    """Refuse a slope without an intercept, and an intercept without a slope.

    In PET images the intercept is 0 by definition (PS3.3, C.8.9.4.1.7).
    """
    known = [any(strings(part, keyword)) for keyword in _VALUES]
    if modality == "CT" and any(known) and not all(known):
        lacking, present = _VALUES if known[1] else _VALUES[::-1]
        value = _shown(strings(part, present))
        raise UnreadableInputError(
            f"{name}: {lacking} is absent or empty, but {present} is {value}",
            hint=f"Set {lacking} in the header; without it the values in HU are not known.",
        )


def _may_hold_comma(element: object) -> bool:
    """Return whether an element that was not parsed yet has a comma; a parsed one may have."""
    return not isinstance(element, RawDataElement) or b"," in (element.value or b"")


def _is_decimal(element: object) -> bool:
    """Return whether an element holds decimal strings, of which one may have a comma."""
    tag, vr = element.tag, element.VR  # type: ignore[attr-defined]
    if isinstance(element, RawDataElement):
        try:
            return (vr or dictionary_VR(tag)) == "DS"
        except KeyError:
            return False
    return bool(vr == "DS")


def _shown(written: list[str]) -> str:
    """Return a value for a message; a text is not quoted, since it may be of a patient."""
    text = "\\".join(written)
    return text[:32] if _QUOTED.fullmatch(text) else "a text"
