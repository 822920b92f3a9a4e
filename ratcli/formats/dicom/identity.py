"""Identifiers of images, with replacements for blank ones; codes and references of derived images.

Source: PS3.16, CID 7202 (purpose of reference), CID 7203 (derivation), CID 7005 (equipment).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from ratcli.formats.dicom.elements import text, uid
from ratcli.formats.dicom.files import DicomFile, open_binary
from ratcli.formats.dicom.frames import FrameFile
from ratcli.scan import Derivation

_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_METHODS = {
    "denoise": ("113087", "Smoothing"),
    "resample": ("113085", "Spatial resampling"),
    "uncertainty": ("113061", "Standard Deviation"),
}


def sop_class(file: DicomFile) -> str:
    """Return the SOP class; if header and meta have none, the classic one of the modality."""
    named = uid(file.dataset, "SOPClassUID") or uid(file.meta, "MediaStorageSOPClassUID")
    modality = str(file.dataset.get("Modality", ""))
    return named or _CLASSES.get(modality, _SECONDARY_CAPTURE)


def instance_uid(file: DicomFile) -> str:
    """Return the SOP instance UID; if header and meta have none, one made of the bytes."""
    named = uid(file.dataset, "SOPInstanceUID") or uid(file.meta, "MediaStorageSOPInstanceUID")
    if named:
        return named
    with open_binary(file.path) as stream:
        return str(generate_uid(entropy_srcs=[hashlib.sha256(stream.read()).hexdigest()]))


def series_uid(file: DicomFile) -> str:
    """Return the series UID; if it is blank, another value that the images of a scan share.

    One that breaks the standard (letters) is replaced by one that is made of it.
    """
    named, written = uid(file.dataset, "SeriesInstanceUID"), text(file.dataset, "SeriesInstanceUID")
    if written and not named:
        return str(generate_uid(entropy_srcs=["series", written]))
    return named or uid(file.dataset, "FrameOfReferenceUID")


def owner(dataset: Dataset) -> tuple[str, str]:
    """Return study and patient: some anonymisers give series of several patients one identifier."""
    patient = text(dataset, "PatientID") or text(dataset, "PatientName")
    return text(dataset, "StudyInstanceUID").strip("\0 "), patient


def image_place(dataset: Dataset) -> tuple[str, str]:
    """Return what tells images of one identifier apart: their number and their position."""
    return text(dataset, "InstanceNumber"), text(dataset, "ImagePositionPatient")


def derived_uid(source: str, derivation: Derivation) -> str:
    """Return the identifier of what was made from `source`; a rerun gives the same.

    Args:
        source: what the new identifier is for, and the identifier of its source.
        derivation: what was done.

    Source: PS3.5, B.2; pydicom hashes the entropy into the 2.25 or its own root.
    """
    parts = [
        source,
        derivation.task,
        derivation.method,
        str(derivation.scale),
        derivation.version,
        derivation.weights_sha256,
        *derivation.settings,
    ]
    return str(generate_uid(entropy_srcs=["\0".join(parts)]))


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
