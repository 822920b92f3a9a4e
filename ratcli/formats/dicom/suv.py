"""The factor that turns stored PET activity into standardised uptake values (SUV) by body weight.

It needs the start of the scan and the injection, which headers tell in several ways.

Source: QIBA FDG-PET/CT profile, appendix (vendor-neutral SUV pseudo-code); PS3.3, C.8.9.1.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from ratcli.formats.dicom.elements import code, items, number, text
from ratcli.formats.dicom.frame_facts import with_converted

_PHILIPS, _PHILIPS_SUV_FACTOR, _PHILIPS_ACTIVITY_FACTOR = (0x7053, "PHILIPS PET"), 0x00, 0x09
_WEIGHTS_KG = (0.01, 700.0)
_DOSES_BQ = (1e6, 1e11)
_FACTORS = (1e-6, 0.1)
# Seconds; from the half-lives of PET nuclides in the tables of the DDEP (Rb-82 to I-124).
_HALF_LIVES_S = (76, 122, 598, 1223, 4058, 6586, 11999, 14292, 45724, 53064, 230580, 282276, 360806)
_LATEST_HALF_LIVES = 8.0
_EARLIEST_S = -600.0  # a dynamic scan starts shortly before the injection
_GE, _GE_SCAN_TIME = (0x0009, "GEMS_PETD"), 0x0D


def find_suv_factor(dataset: Dataset, series: Sequence[Dataset] = ()) -> tuple[float | None, str]:
    """Return what a value in the file's units is multiplied by to be SUV, or why that is unknown.

    Args:
        dataset: header of a PET image.
        series: headers of all images of its series, of which the earliest tells when it began.

    Returns:
        The factor (grams per becquerel for units of Bq/ml, 1 for values that are SUV already)
        and an empty text; or None and one clause that says which fact the header does not have.
    """
    try:
        return _factor(with_converted(dataset), series or [dataset]), ""
    except _MissingFactError as missing:
        return None, str(missing)


class _MissingFactError(Exception):
    """The header does not have a fact that SUV needs; the text says which."""


def _factor(dataset: Dataset, series: Sequence[Dataset]) -> float:
    units = code(dataset, "Units")
    if units == "GML" and code(dataset, "SUVType") in ("", "BW"):
        return 1.0
    if units == "BQML":
        return _activity_factor(dataset, series)
    if units == "CNTS":
        return _counts_factor(dataset, series)
    raise _MissingFactError("the header does not say that the values are in Bq/ml")


def _activity_factor(dataset: Dataset, series: Sequence[Dataset]) -> float:
    """Return weight over the dose that is left at the time the activity is corrected to."""
    corrected = code(dataset, "CorrectedImage").split("\\")
    for name, words in (("ATTN", "attenuation"), ("DECY", "decay")):
        if any(corrected) and name not in corrected:
            raise _MissingFactError(f"the header says that {words} was not corrected")
    weight_kg = _within(number(dataset, "PatientWeight"), _WEIGHTS_KG, "patient weight", "kg")
    radiopharmaceuticals = items(dataset, "RadiopharmaceuticalInformationSequence")
    injected = radiopharmaceuticals[0] if radiopharmaceuticals else Dataset()
    dose = _within(number(injected, "RadionuclideTotalDose"), _DOSES_BQ, "injected dose", "Bq")
    half_life = _half_life(injected)
    left = _dose_left(dataset, injected, half_life, series)
    return _within(weight_kg * 1000 / (dose * left), _FACTORS, "factor to SUV", "g/Bq")


def _within(value: float | None, ends: tuple[float, float], name: str, unit: str) -> float:
    """Return a value of the header if it is there and possible."""
    if not value:
        raise _MissingFactError(f"the header has no {name}")
    if not ends[0] <= value <= ends[1]:
        raise _MissingFactError(
            f"the {name} of {value:g} {unit} is impossible: expected {ends[0]:g} to {ends[1]:g}"
        )
    return value


def _half_life(injected: Dataset) -> float:
    """Return the half-life in seconds; refuse one that is known, but in minutes or hours."""
    found = number(injected, "RadionuclideHalfLife")
    if not found or found < 0:
        raise _MissingFactError("the header has no half-life of the radionuclide")
    for seconds, words in ((1, ""), (60, "minutes"), (3600, "hours")):
        if any(abs(found * seconds / known - 1) < 0.02 for known in _HALF_LIVES_S):
            if words:
                raise _MissingFactError(
                    f"the half-life of {found:g} s looks like {words}: expected seconds"
                )
            break
    return _within(found, (10.0, 1e7), "half-life", "s")


def _dose_left(
    dataset: Dataset, injected: Dataset, half_life: float, series: Sequence[Dataset]
) -> float:
    """Return the share of the dose that is left at the reference time of the activity."""
    correction = code(dataset, "DecayCorrection")
    if correction == "ADMIN":
        return 1.0
    if correction == "NONE":
        raise _MissingFactError("the header says that decay was not corrected")
    if correction != "START":
        raise _MissingFactError("the header does not say to which time decay was corrected")
    start, given = scan_start(dataset, half_life, series), injection(dataset, injected)
    if start is None:
        raise _MissingFactError("the header has no start time of the scan")
    if given is None:
        raise _MissingFactError("the header has no time of injection")
    seconds = (start - given.moment).total_seconds()
    if seconds < _EARLIEST_S and not given.has_date:  # injected before midnight
        seconds += 86400
    if seconds < _EARLIEST_S:
        raise _MissingFactError(
            f"the header puts the injection {_duration(-seconds)} after the start of the scan"
        )
    if seconds > _LATEST_HALF_LIVES * half_life:
        raise _MissingFactError(
            f"the header puts the injection {_duration(seconds)} before the scan, which is "
            f"{seconds / half_life:.0f} half-lives"
        )
    return float(0.5 ** (seconds / half_life))


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172800 else f"{seconds / 86400:.0f} days"


def _counts_factor(dataset: Dataset, series: Sequence[Dataset]) -> float:
    """Return Philips' private factor from counts to SUV, or to activity and on to SUV."""
    images = [dataset, *map(with_converted, series)]
    for element in (_PHILIPS_SUV_FACTOR, _PHILIPS_ACTIVITY_FACTOR):
        factors = {private_number(image, *_PHILIPS, element) for image in images}
        if len(factors) > 1:
            raise _MissingFactError("the factor from counts to SUV differs between the slices")
        factor = factors.pop()
        if factor and 0 < factor < math.inf:
            is_direct = element == _PHILIPS_SUV_FACTOR
            return factor if is_direct else factor * _activity_factor(dataset, series)
    raise _MissingFactError("the values are counts without a factor from counts to SUV")


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
    if scanned := private_text(dataset, *_GE, _GE_SCAN_TIME):
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


def private_text(dataset: Dataset, group: int, creator: str, element: int) -> str:
    """Return a private element as text; empty if it is absent.

    Args:
        dataset: the header.
        group: its group.
        creator: how the name of its maker begins, in upper case. The element with this name says
            which block of the group the maker uses in this header.
        element: its number in the block.

    Source: PS3.5, 7.8.1.
    """
    for tag in list(dataset.keys()):
        is_creator = tag.group == group and tag.is_private_creator
        if is_creator and _text_at(dataset, tag).upper().startswith(creator):
            found = _text_at(dataset, Tag(group, tag.element << 8 | element))
            if found:
                return found
    return ""


def private_number(dataset: Dataset, group: int, creator: str, element: int) -> float | None:
    """Return a private element as a number, or None; see `private_text`."""
    try:
        return float(private_text(dataset, group, creator, element))
    except ValueError:
        return None


def _text_at(dataset: Dataset, tag: BaseTag) -> str:
    value = dataset[tag].value if tag in dataset else ""
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore")
    return str(value).strip(" \0")


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
