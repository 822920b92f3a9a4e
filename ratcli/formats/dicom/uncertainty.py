"""Images of standard deviations: their window, and value maps without an offset.

Source: PS3.3, C.11.2 (VOI LUT), C.8.16.1.4 (derived pixel contrast).
"""

from __future__ import annotations

import math

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import format_number_as_ds

from ratcli.errors import OutputError
from ratcli.formats.dicom.elements import items
from ratcli.scan import Derivation, FloatArray

_SHOWN_PERCENT = 99.5
_WINDOW = (
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "VOILUTSequence",
)


def holds_uncertainty(derivation: Derivation) -> bool:
    """Return whether an image holds standard deviations in place of values."""
    return derivation.method == "uncertainty"


def refuse_colour(derivation: Derivation, samples: int) -> None:
    """Refuse standard deviations of colours, which are stored without a slope.

    Raises:
        OutputError: the image is to hold them.
    """
    if holds_uncertainty(derivation) and samples > 1:
        raise OutputError(
            "DICOM has no place for the uncertainty of colours",
            hint="Leave --uncertainty out, or restore the image as TIFF.",
        )


def shown_as_white(values: FloatArray) -> float:
    """Return the 99.5th percentile of the positive standard deviations; 0 if there is none."""
    positive = values[values > 0]
    return float(np.percentile(positive, _SHOWN_PERCENT)) if positive.size else 0.0


def describe_uncertainty(dataset: Dataset, top: float) -> None:
    """Set the window of an image of standard deviations, and remove offsets from its value maps.

    Args:
        dataset: header of the derived image, its slopes written; changed.
        top: standard deviation to show as white, rounded up to 1, 2 or 5 times a power of ten so
            that all slices of a series get a similar window.
    """
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    for group in [*shared, *frames]:
        if "FrameVOILUTSequence" in group:
            del group.FrameVOILUTSequence
    for group in [dataset, *frames]:
        for mapping in items(group, "RealWorldValueMappingSequence"):
            if "RealWorldValueIntercept" in mapping:
                mapping.RealWorldValueIntercept = (
                    0.0  # an offset does not change a standard deviation
                )
    for keyword in _WINDOW:
        if keyword in dataset:
            delattr(dataset, keyword)
    if shared:
        shared[0].FrameVOILUTSequence = Sequence([Dataset()])
    _set_window(shared[0].FrameVOILUTSequence[0] if shared else dataset, _round_up(top))


def _set_window(target: Dataset, top: float) -> None:
    target.WindowCenter = format_number_as_ds(top / 2)
    target.WindowWidth = format_number_as_ds(top)
    target.VOILUTFunction = "LINEAR_EXACT"  # the only function that allows widths below 1


def _round_up(top: float) -> float:
    if top <= 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(top))
    return next(step * decade for step in (1, 2, 5, 10) if step * decade >= top)
