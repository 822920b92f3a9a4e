"""The factor that turns stored PET activity into standardised uptake by body weight.

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


def suv_factor(dataset: Dataset) -> float | None:
    """Return what a value in the file's units is multiplied with to give SUV by body weight.

    Args:
        dataset: header of a PET image.

    Returns:
        grams per becquerel for units of Bq/ml; 1 for values that are SUV already; None where the
        header lacks weight, dose, half-life or times, or has other units.
    """
    units = code(dataset, "Units")
    if units == "GML" and code(dataset, "SUVType") in ("", "BW"):
        return 1.0
    if units == "CNTS":
        return _counts_factor(dataset)
    return _activity_factor(dataset) if units == "BQML" else None


def _activity_factor(dataset: Dataset) -> float | None:
    """Return weight over the dose that is left at the time the activity is corrected to."""
    corrected = text(dataset, "CorrectedImage").upper()
    weight_kg = number(dataset, "PatientWeight")
    radiopharmaceuticals = items(dataset, "RadiopharmaceuticalInformationSequence")
    if not radiopharmaceuticals or not weight_kg or weight_kg <= 0:
        return None
    if corrected and not {"ATTN", "DECY"} <= set(corrected.split("\\")):
        return None
    injected = radiopharmaceuticals[0]
    dose = number(injected, "RadionuclideTotalDose")
    half_life = number(injected, "RadionuclideHalfLife")
    if not dose or not half_life or dose <= 0 or half_life <= 0:
        return None
    left = _decay(dataset, injected, half_life)
    return None if left is None else weight_kg * 1000 / (dose * left)


def _decay(dataset: Dataset, injected: Dataset, half_life: float) -> float | None:
    """Return the share of the dose that is left at the reference time of the activity."""
    correction = code(dataset, "DecayCorrection")
    if correction == "ADMIN":
        return 1.0
    if correction != "START":
        return None
    start, given = _scan_start(dataset, half_life), _injection(dataset, injected)
    if start is None or given is None:
        return None
    seconds = (start - given).total_seconds()
    if seconds < 0:  # injected before midnight, and only times are told
        seconds += 86400
    return float(0.5 ** (seconds / half_life)) if 0 <= seconds < 86400 else None


def _scan_start(dataset: Dataset, half_life: float) -> dt.datetime | None:
    """Return the time to which the series is decay corrected.

    The series' own time, unless post-processing made the series anew; then GE's private scan
    time, or the earliest acquisition.
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

    The frame reference time lies where the decay over the frame is average.
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


def _counts_factor(dataset: Dataset) -> float | None:
    """Return Philips' private factor from counts to SUV, or to activity and on to SUV."""
    if not _text_at(dataset, _PHILIPS_CREATOR).upper().startswith("PHILIPS PET"):
        return None
    direct = _number_at(dataset, _PHILIPS_SUV_FACTOR)
    if direct:
        return direct
    activity = _number_at(dataset, _PHILIPS_ACTIVITY_FACTOR)
    factor = _activity_factor(dataset)
    return activity * factor if activity and factor else None


def _moment(date: str, time: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(date[:8] + time.split(".")[0][:6], "%Y%m%d%H%M%S")
    except ValueError:
        return None


def _text_at(dataset: Dataset, tag: int) -> str:
    """Return a private element as text; empty where it is absent."""
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
