"""Numbers that decide values and places: what is off the standard is noticed or refused by name.

Source: PS3.5, 6.2 (decimal strings); GDCM reads a comma in one as the decimal point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.elements import code, items, numbers, strings

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


def check_numbers(dataset: Dataset, name: str) -> list[str]:
    """Refuse numbers that cannot be read, and return notices of those with a decimal comma.

    Args:
        dataset: the header of an image.
        name: of the file, for messages.

    Raises:
        UnreadableInputError: a value is no number, or a CT image has only one half of its rescale.
    """
    notices: dict[str, str] = {}
    modality = code(dataset, "Modality")
    for part in (dataset, *_functional_parts(dataset)):
        _check_rescale(part, modality, name)
        for keyword in (*_VALUES, *_PLACES):
            written = strings(part, keyword)
            if not any(written):
                continue
            if numbers(part, keyword) is None:
                raise UnreadableInputError(
                    f"{name}: {keyword} is {_shown(written)}, which is not a number",
                    hint=f"Correct {keyword} in the header.",
                )
            if any("," in text for text in written):
                notices.setdefault(
                    keyword,
                    f"{keyword} has a decimal comma ({_shown(written)}), read as a decimal point",
                )
    return list(notices.values())


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
