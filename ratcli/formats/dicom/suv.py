"""The factor that turns stored PET activity into standardised uptake values (SUV) by body weight.

Source: QIBA FDG-PET/CT profile, appendix (vendor-neutral SUV pseudo-code); PS3.3, C.8.9.1.
"""

from __future__ import annotations

import datetime as dt
import math

from pydicom.dataset import Dataset

from ratcli.formats.dicom.elements import code, items, number, text

_PHILIPS_SUV_FACTOR = 0x70531000
_PHILIPS_ACTIVITY_FACTOR = 0x70531009
_PHILIPS_CREATOR = 0x70530010
_GE_CREATOR, _GE_SCAN_TIME = 0x00090010, 0x0009100D


def find_suv_factor(dataset: Dataset) -> tuple[float | None, str]:
    """Return what a value in the file's units is multiplied by to be SUV, or why that is unknown.

    Args:
        dataset: header of a PET image.

    Returns:
        The factor (grams per becquerel for units of Bq/ml, 1 for values that are SUV already)
        and an empty text; or None and one clause that says which fact the header does not have.
    """
    try:
        return _factor(dataset), ""
    except _MissingFactError as missing:
        return None, str(missing)


class _MissingFactError(Exception):
    """The header does not have a fact that SUV needs; the text says which."""


def _factor(dataset: Dataset) -> float:
    units = code(dataset, "Units")
    if units == "GML" and code(dataset, "SUVType") in ("", "BW"):
        return 1.0
    if units == "BQML":
        return _activity_factor(dataset)
    if units == "CNTS":
        return _counts_factor(dataset)
    raise _MissingFactError("the header does not say that the values are in Bq/ml")


def _activity_factor(dataset: Dataset) -> float:
    """Return weight over the dose that is left at the time the activity is corrected to."""
    weight_kg = number(dataset, "PatientWeight")
    if not weight_kg or weight_kg <= 0:
        raise _MissingFactError("the header has no patient weight")
    corrected = text(dataset, "CorrectedImage").upper()
    if corrected and not {"ATTN", "DECY"} <= set(corrected.split("\\")):
        raise _MissingFactError("the header says that attenuation or decay was not corrected")
    radiopharmaceuticals = items(dataset, "RadiopharmaceuticalInformationSequence")
    injected = radiopharmaceuticals[0] if radiopharmaceuticals else Dataset()
    dose = number(injected, "RadionuclideTotalDose")
    if not dose or dose <= 0:
        raise _MissingFactError("the header has no injected dose")
    half_life = number(injected, "RadionuclideHalfLife")
    if not half_life or half_life <= 0:
        raise _MissingFactError("the header has no half-life of the radionuclide")
    return weight_kg * 1000 / (dose * _dose_left(dataset, injected, half_life))


def _dose_left(dataset: Dataset, injected: Dataset, half_life: float) -> float:
    """Return the share of the dose that is left at the reference time of the activity."""
    correction = code(dataset, "DecayCorrection")
    if correction == "ADMIN":
        return 1.0
    if correction != "START":
        raise _MissingFactError("the header does not say to which time decay was corrected")
    start, given = _scan_start(dataset, half_life), _injection(dataset, injected)
    if start is None:
        raise _MissingFactError("the header has no start time of the scan")
    if given is None:
        raise _MissingFactError("the header has no time of injection")
    seconds = (start - given).total_seconds()
    if seconds < 0:  # injected before midnight, and the header has times without dates
        seconds += 86400
    if not 0 <= seconds < 86400:
        raise _MissingFactError("the header puts injection and scan more than a day apart")
    return float(0.5 ** (seconds / half_life))


def _scan_start(dataset: Dataset, half_life: float) -> dt.datetime | None:
    """Return the time to which the series is decay corrected.

    The time of the series, unless it was created by post-processing; then GE's private scan time,
    or the earliest acquisition.
    """
    series = _moment(text(dataset, "SeriesDate"), text(dataset, "SeriesTime"))
    acquired = _moment(text(dataset, "AcquisitionDate"), text(dataset, "AcquisitionTime"))
    if series is not None and (acquired is None or series <= acquired):
        return series
    if _text_at(dataset, _GE_CREATOR).startswith("GEMS_PETD"):
        scanned = _text_at(dataset, _GE_SCAN_TIME)
        return _moment(scanned[:8], scanned[8:])
    return None if acquired is None else _start_from_frame(dataset, acquired, half_life)


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


def _injection(dataset: Dataset, injected: Dataset) -> dt.datetime | None:
    moment = text(injected, "RadiopharmaceuticalStartDateTime").split(".")[0]
    if len(moment) >= 12:
        return _moment(moment[:8], moment[8:14])
    date = text(dataset, "SeriesDate")
    return _moment(date, text(injected, "RadiopharmaceuticalStartTime"))


def _counts_factor(dataset: Dataset) -> float:
    """Return Philips' private factor from counts to SUV, or to activity and on to SUV."""
    is_philips = _text_at(dataset, _PHILIPS_CREATOR).upper().startswith("PHILIPS PET")
    direct = _number_at(dataset, _PHILIPS_SUV_FACTOR) if is_philips else None
    if direct:
        return direct
    activity = _number_at(dataset, _PHILIPS_ACTIVITY_FACTOR) if is_philips else None
    if not activity:
        raise _MissingFactError("the values are counts without a factor from counts to SUV")
    return activity * _activity_factor(dataset)


def _moment(date: str, time: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(date[:8] + time.split(".")[0][:6], "%Y%m%d%H%M%S")
    except ValueError:
        return None


def _text_at(dataset: Dataset, tag: int) -> str:
    """Return a private element as text; empty if it is absent."""
    if tag not in dataset:
        return ""
    value = dataset[tag].value
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore")
    return str(value).strip(" \0")


def _number_at(dataset: Dataset, tag: int) -> float | None:
    try:
        return float(_text_at(dataset, tag))
    except ValueError:
        return None
