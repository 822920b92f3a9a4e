"""Which patient a scan is of: the definition for splits in training and figures over patients."""

from __future__ import annotations

import hashlib
import re

from ratcli.formats import ScanSource

# Names as BIDS has them: sub-01_ses-2_pet.nii.gz is patient sub-01.
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")


def patient_of(source: ScanSource, place: str) -> str:
    """Return a text that all scans of one patient share.

    A DICOM scan's patient is its PatientID. Elsewhere the first folder or file of the place is one
    patient; names `sub-NAME_...` with the same NAME are one.

    Args:
        source: the scan.
        place: its path below the folder that was named, without a suffix.

    Raises:
        UnreadableInputError: a DICOM header cannot be read.
    """
    if source.format == "dicom":
        patient = _in_header(source)
        if patient is not None:
            return patient
    top = place.split("/")[0]
    subject = _SUBJECT.match(top)
    return subject.group() if subject else top


def _in_header(scan: ScanSource) -> str | None:
    """Return a hash of the PatientID, or None if it is blank; the PatientID itself is not kept."""
    from ratcli.formats.dicom.elements import text
    from ratcli.formats.dicom.headers import header_of

    identity = text(header_of(scan.paths[0], scan.headers).dataset, "PatientID")
    return hashlib.sha256(identity.encode()).hexdigest()[:16] if identity else None
