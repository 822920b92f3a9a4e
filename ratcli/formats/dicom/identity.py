"""Identifiers of an image, with replacements for those that are blank."""

from __future__ import annotations

import hashlib

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ratcli.formats.dicom.elements import text, uid
from ratcli.formats.dicom.files import DicomFile, open_binary
from ratcli.scan import Derivation

_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


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
