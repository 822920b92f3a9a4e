"""Times that SUV needs: the start of the scan, and the injection.

Source: QIBA FDG-PET/CT profile, appendix (vendor-neutral SUV pseudo-code).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import NamedTuple

from pydicom.dataset import Dataset

from ratcli.formats.dicom.elements import number, text

_GE_CREATOR, _GE_SCAN_TIME = 0x00090010, 0x0009100D


class Injection(NamedTuple):
    """When a tracer was injected.

    Attributes:
        moment: date and time.
        has_date: whether the header tells the date; if not, it may be the day before.
    """

    moment: dt.datetime
    has_date: bool


def scan_start(dataset: Dataset, half_life: float, images: Sequence[Dataset]) -> dt.datetime | None:
    """Return the time to which the series is decay corrected.

    The time of the series, unless it was created by post-processing; then GE's private scan time,
    or the earliest acquisition.

    Args:
        dataset: header of an image of the series.
        half_life: of the radionuclide, in seconds.
        images: headers of all images of the series.
    """
    series = _moment(text(dataset, "SeriesDate"), text(dataset, "SeriesTime"))
    acquired = _acquired(dataset)
    if series is not None and (acquired is None or series <= acquired):
        return series
    if text_at(dataset, _GE_CREATOR).startswith("GEMS_PETD"):
        scanned = text_at(dataset, _GE_SCAN_TIME)
        return _moment(scanned[:8], scanned[8:])
    if number(dataset, "FrameReferenceTime") == 0:  # CPS: each bed counts from its own start
        return min(filter(None, map(_acquired, images)), default=acquired)
    return None if acquired is None else _start_from_frame(dataset, acquired, half_life)


def injection(dataset: Dataset, injected: Dataset) -> Injection | None:
    """Return when the tracer was injected, on the day of the scan if no date is told."""
    written = text(injected, "RadiopharmaceuticalStartDateTime").split(".")[0]
    if len(written) >= 12:
        moment = _moment(written[:8], written[8:14])
        return None if moment is None else Injection(moment, True)
    date = text(dataset, "SeriesDate") or text(dataset, "AcquisitionDate")
    moment = _moment(date, text(injected, "RadiopharmaceuticalStartTime"))
    return None if moment is None else Injection(moment, False)


def text_at(dataset: Dataset, tag: int) -> str:
    """Return a private element as text; empty if it is absent."""
    if tag not in dataset:
        return ""
    value = dataset[tag].value
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore")
    return str(value).strip(" \0")


def number_at(dataset: Dataset, tag: int) -> float | None:
    """Return a private element as a number, or None."""
    try:
        return float(text_at(dataset, tag))
    except ValueError:
        return None


def _acquired(dataset: Dataset) -> dt.datetime | None:
    return _moment(text(dataset, "AcquisitionDate"), text(dataset, "AcquisitionTime"))


def _start_from_frame(
    dataset: Dataset, acquired: dt.datetime, half_life: float
) -> dt.datetime | None:
    """Work back from one frame: its reference time counts from the scan's start.

    The frame reference time is the moment when the decay equals its average over the frame.
    """
    reference_ms = number(dataset, "FrameReferenceTime")
    duration_ms = number(dataset, "ActualFrameDuration")
    if not reference_ms or not duration_ms or duration_ms <= 0:
        return None
    rate = math.log(2) / half_life
    decayed = rate * duration_ms / 1000
    average = math.log(decayed / (1 - math.exp(-decayed))) / rate
    return acquired + dt.timedelta(seconds=average - reference_ms / 1000)


def _moment(date: str, time: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(date[:8] + time.split(".")[0][:6], "%Y%m%d%H%M%S")
    except ValueError:
        return None
