"""What is read in the header of an object that arrives, and which route it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from ratcli.errors import RatError
from ratcli.formats.dicom.elements import integer, items, text, uid
from ratcli.node.settings import Route

_ELEMENTS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "BodyPartExamined",
    "ProtocolName", "ConvolutionKernel", "ContributingEquipmentSequence", "SeriesType",
    "NumberOfSeriesRelatedInstances", "NumberOfSlices",
]  # fmt: skip


class RefusedError(RatError):
    """An object cannot be accepted.

    Args:
        message: why, in at most 64 characters.
        status: of the C-STORE response.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Arrival:
    """Facts about an object that arrived.

    Attributes:
        instance: its SOP Instance UID.
        series: its Series Instance UID.
        expected: number of objects in its series, 0 if it does not say.
        terms: values that patterns of routes are compared to, by the name of the pattern.
    """

    instance: str
    series: str
    expected: int
    terms: dict[str, str]

    def key(self, route: str) -> str:
        """Return the name of the series in the queue: it has nothing of the patient in it."""
        return hashlib.sha256(f"{self.series}\0{route}".encode()).hexdigest()[:20]

    @property
    def file_name(self) -> str:
        """Name of its file: the same for the same object."""
        return hashlib.sha256(self.instance.encode()).hexdigest()[:32] + ".dcm"


def read_arrival(path: Path, calling: str, called: str) -> Arrival:
    """Read the header of an object.

    Args:
        path: its file.
        calling: AE title of the caller.
        called: AE title that was called.

    Raises:
        RefusedError: it is not DICOM, has no identifiers, or was made by rat itself.
    """
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_ELEMENTS)
        return _arrival(header, calling, called)
    except RefusedError:
        raise
    except Exception as error:  # pydicom has no common error for damaged files
        raise RefusedError("the header cannot be read", 0xC000) from error


def find_route(routes: Sequence[Route], arrival: Arrival) -> Route:
    """Return the first route that fits.

    Raises:
        RefusedError: there is none.
    """
    for route in routes:
        patterns = {name: getattr(route.patterns, name) for name in arrival.terms}
        if all(_fits(arrival.terms[name], wanted) for name, wanted in patterns.items()):
            return route
    raise RefusedError("no route is for this object", 0xA900)


def matches(value: str, pattern: str) -> bool:
    """Return whether a pattern with `*` and `?` describes a value; case is ignored."""
    return fnmatchcase(value.strip().upper(), pattern.upper())


def _fits(value: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(matches(value, pattern) for pattern in patterns)


def _arrival(header: Dataset, calling: str, called: str) -> Arrival:
    instance, series = uid(header, "SOPInstanceUID"), uid(header, "SeriesInstanceUID")
    if not instance or not series:
        raise RefusedError("the object has no instance or series UID", 0xA900)
    equipment = items(header, "ContributingEquipmentSequence")
    if any(text(item, "Manufacturer") == "ratcli" for item in equipment):
        raise RefusedError("rat made this object", 0xA900)
    terms = {
        "calling": calling,
        "called": called,
        "modality": text(header, "Modality"),
        "body_part": text(header, "BodyPartExamined"),
        "protocol": text(header, "ProtocolName"),
        "kernel": text(header, "ConvolutionKernel"),
    }
    return Arrival(instance, series, _expected(header), terms)


def _expected(header: Dataset) -> int:
    """Return the number of objects in the series, 0 if the header does not say.

    Source: PS3.3, C.8.9.1 (number of slices of a PET series, of which each is an object).
    """
    told = integer(header, "NumberOfSeriesRelatedInstances")
    kind = text(header, "SeriesType").split("\\")[0]
    if told is None and kind in ("STATIC", "WHOLE BODY"):
        told = integer(header, "NumberOfSlices")
    return told or 0
