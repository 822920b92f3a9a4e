"""The unit that a header tells: of the rescale, of a real-world map, or of a PET image.

Source: PS3.3, C.11.1.1.2 (rescale type), C.7.6.16.2.11 (real-world map), C.8.9.1 (PET units).
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.elements import code, is_localizer, items, number
from ratcli.formats.dicom.frame_facts import functional, functional_items, with_converted

_UNSPECIFIED = ("", "US", "UNSPECIFIED")
# Written out, the name occurs in several spellings: "Houndsfield Unit" is a real one.
_HOUNSFIELD = re.compile(r"HU|HU_MOD|HOUN[A-Z]*FIELD( ?UNITS?)?")
_MAPPED_UNITS = {
    "[HNSF'U]": "HU",
    "BQ/ML": "Bq/ml",
    "{SUVBW}G/ML": "SUV",
    "G/ML{SUVBW}": "SUV",
}
_NO_UNIT = "1"  # UCUM's code for a number without a unit


def told_unit(dataset: Dataset, modality: str) -> str | None:
    """Return the unit of the values, or None if the header does not tell it.

    A unit that no task takes is returned as the header spells it, so that it can be named.

    Args:
        dataset: the header.
        modality: its modality.
    """
    group = functional(dataset, 0, "PixelValueTransformationSequence")
    if modality == "CT":
        return _ct_unit(dataset, group)
    if modality == "PT":
        return _pet_unit(dataset, group)
    return None


def refuse_modality_table(dataset: Dataset, name: str) -> None:
    """Refuse values that a table gives: they are not linear in what is stored.

    Raises:
        UnreadableInputError: the header has a Modality LUT.

    Source: PS3.3, C.11.1.
    """
    if items(dataset, "ModalityLUTSequence"):
        raise UnreadableInputError(
            f"{name}: a Modality LUT (0028,3000) gives the values, but rat reads only "
            f"RescaleSlope and RescaleIntercept",
            hint="Apply the table first and save the image with a rescale.",
        )


def _ct_unit(dataset: Dataset, group: Dataset) -> str | None:
    kind = code(group, "RescaleType")
    if kind not in _UNSPECIFIED and not _HOUNSFIELD.fullmatch(kind):
        return _printable(kind)
    if kind in _UNSPECIFIED:
        mapped = _mapped_unit(dataset, group)
        if mapped is not None or kind:
            return mapped
    is_rescaled = number(group, "RescaleSlope") is not None
    return "HU" if is_rescaled and not is_localizer(dataset) else None


def _pet_unit(dataset: Dataset, group: Dataset) -> str | None:
    """Return the unit of a classic PET image; of an enhanced one, that of its real-world map."""
    converted = with_converted(dataset)
    units = code(converted, "Units")
    if units == "GML":
        kind = code(converted, "SUVType")
        return "SUV" if kind in ("", "BW") else f"SUV by {_printable(kind)}"
    if units:
        return "Bq/ml" if units == "BQML" else _printable(units)
    return _mapped_unit(dataset, group)


def _mapped_unit(dataset: Dataset, group: Dataset) -> str | None:
    """Return the unit of the real-world map that is the rescale; else another that is told."""
    others = []
    keyword = "RealWorldValueMappingSequence"
    for mapping in functional_items(dataset, 0, keyword) or items(dataset, keyword):
        for measured in items(mapping, "MeasurementUnitsCodeSequence"):
            found = code(measured, "CodeValue")
            unit = _MAPPED_UNITS.get(found, _printable(found))
            # Values are read through the rescale, which must be the map itself.
            if number(mapping, "RealWorldValueSlope") == number(group, "RescaleSlope"):
                if found and found != _NO_UNIT:
                    return unit
            elif unit not in _MAPPED_UNITS.values():
                others.append(unit)
    return next((unit for unit in others if unit and unit != _NO_UNIT), None)


def _printable(text: str) -> str:
    return "".join(c for c in text[:16] if c.isascii() and c.isprintable())
