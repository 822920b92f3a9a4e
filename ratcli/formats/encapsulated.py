"""A PDF inside a DICOM object, in the study of a scan, so that an archive keeps both together."""

from __future__ import annotations

import datetime as dt
import io

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian, generate_uid

from ratcli.errors import UnsuitableInputError
from ratcli.formats.dicom.elements import quiet_pydicom
from ratcli.formats.dicom.reader import DicomReader
from ratcli.formats.regions.segmentation_writer import source_headers
from ratcli.scan import ScanReader

_OF_STUDY = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate",
    "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber",
    "ReferringPhysicianName",
)  # fmt: skip
_SERIES_NUMBER = 9600


def check_takes_pdf(reader: ScanReader) -> DicomReader:
    """Return the reader of a DICOM series.

    Raises:
        UnsuitableInputError: the scan has another format, so there is no study to put a PDF in.
    """
    if isinstance(reader, DicomReader):
        return reader
    raise UnsuitableInputError(
        f"a report in DICOM needs a scan in DICOM, but the restored scan is {reader.info.format}",
        hint="Name the report .pdf or .html.",
    )


def encapsulated_pdf(pdf: bytes, reader: ScanReader, title: str, version: str) -> bytes:
    """Return a PDF as a DICOM file that belongs to the patient and the study of a scan.

    Args:
        pdf: the document.
        reader: the scan, which must be a DICOM series.
        title: of the document.
        version: of this software.

    Raises:
        UnsuitableInputError: the scan is not DICOM.

    Source: PS3.3, A.45.1 and C.24.
    """
    source, now = source_headers(check_takes_pdf(reader))[0], dt.datetime.now().astimezone()
    made = Dataset()
    for keyword in _OF_STUDY:
        if keyword in source:
            made[keyword] = source[keyword]
    made.SOPClassUID, made.SOPInstanceUID = EncapsulatedPDFStorage, generate_uid()
    made.SeriesInstanceUID, made.SeriesNumber, made.InstanceNumber = (
        generate_uid(), _SERIES_NUMBER, 1
    )  # fmt: skip
    made.Modality, made.ConversionType = "DOC", "SYN"
    made.SeriesDescription = "Report on a restored scan (rat)"
    made.Manufacturer, made.ManufacturerModelName = "rat developers", "rat"
    made.DeviceSerialNumber, made.SoftwareVersions = "0", version
    made.ContentDate, made.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.AcquisitionDateTime = ""
    made.BurnedInAnnotation, made.RecognizableVisualFeatures = "NO", "NO"
    made.DocumentTitle, made.ConceptNameCodeSequence = title[:1024], []
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    made.EncapsulatedDocumentLength = len(pdf)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    with quiet_pydicom():
        made.save_as(file, enforce_file_format=True)
    return file.getvalue()
