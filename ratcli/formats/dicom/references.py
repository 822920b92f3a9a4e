"""Codes and references that a derived image carries.

Source: PS3.16, CID 7202 (purpose of reference), CID 7203 (derivation), CID 7005 (equipment).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ratcli.formats.dicom.elements import uid
from ratcli.formats.dicom.frames import FrameFile
from ratcli.formats.dicom.identity import instance_uid, sop_class
from ratcli.scan import Derivation

_METHODS = {
    "denoise": ("113087", "Smoothing"),
    "resample": ("113085", "Spatial resampling"),
    "uncertainty": ("113061", "Standard Deviation"),
}


def code_item(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    """Return a code sequence item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def method_codes(derivation: Derivation) -> Sequence | None:
    """Return the derivation code of a method, or None if there is no code for it."""
    named = _METHODS.get(derivation.method)
    return Sequence([code_item(*named)]) if named else None


def source_item(source: FrameFile, derivation: Derivation, frame: int | None = None) -> Dataset:
    """Return a reference to the source image.

    Args:
        source: the image.
        derivation: what was done.
        frame: number of the frame from 0, for objects with several.
    """
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class(source.file)
    item.ReferencedSOPInstanceUID = instance_uid(source.file)
    if frame is not None:
        item.ReferencedFrameNumber = frame + 1
    item.SpatialLocationsPreserved = "YES" if derivation.scale == 1 else "NO"
    item.PurposeOfReferenceCodeSequence = Sequence(
        [code_item("121322", "Source image for image processing operation")]
    )
    return item


def referenced_series(sources: Iterable[FrameFile]) -> Dataset:
    """Return a reference to the series of the sources, for objects that list their references.

    Source: PS3.3, C.12.2 (common instance reference).
    """
    series, images = Dataset(), []
    for source in sources:
        image = Dataset()
        image.ReferencedSOPClassUID = sop_class(source.file)
        image.ReferencedSOPInstanceUID = instance_uid(source.file)
        images.append(image)
        series.SeriesInstanceUID = uid(source.file.dataset, "SeriesInstanceUID")
    series.ReferencedInstanceSequence = Sequence(images)
    return series


def equipment_item(derivation: Derivation) -> Dataset:
    """Return this software as a contributing equipment."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([code_item("109102", "Processing Equipment")])
    item.Manufacturer = "ratcli"
    item.ManufacturerModelName = f"rat {derivation.task}"
    item.SoftwareVersions = derivation.version or "unknown"
    item.ContributionDateTime = dt.datetime.now(dt.timezone.utc).strftime("%Y%m%d%H%M%S+0000")
    item.ContributionDescription = derivation.description[:1024]
    return item
