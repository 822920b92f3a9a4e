"""Facts for `rat info`: coded and technical ones only, since free text may name a patient."""

from __future__ import annotations

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from ratcli.formats.dicom.elements import code, number, text, uid
from ratcli.formats.dicom.files import DicomFile
from ratcli.formats.dicom.layout import PixelLayout
from ratcli.formats.dicom.values import ValueMap

_NUMBERS = (
    ("KVP", "tube voltage (kV)"),
    ("XRayTubeCurrent", "tube current (mA)"),
    ("Exposure", "exposure (mAs)"),
    ("CTDIvol", "CTDIvol (mGy)"),
    ("ActualFrameDuration", "frame duration (ms)"),
    ("SliceThickness", "slice thickness (mm)"),
    ("MagneticFieldStrength", "field strength (T)"),
    ("GantryDetectorTilt", "gantry tilt (degrees)"),
)
_TEXTS = (
    ("ImageType", "image type"),
    ("Manufacturer", "manufacturer"),
    ("ManufacturerModelName", "scanner"),
    ("ConvolutionKernel", "kernel"),
    ("Units", "PET units"),
    ("DecayCorrection", "decay correction"),
)

ACQUISITION = ("manufacturer", "scanner", "kernel", *(label for _, label in _NUMBERS))
"""Facts on how a scan was acquired, for a report."""


def describe(file: DicomFile, layout: PixelLayout, maps: list[ValueMap]) -> dict[str, str]:
    """Return facts in the order to print them.

    Args:
        file: the first file of the scan.
        layout: of its frames.
        maps: of all planes.
    """
    dataset = file.dataset
    facts = {
        "kind": uid_name(uid(dataset, "SOPClassUID")),
        "transfer syntax": uid_name(file.syntax),
        "compression": _compression(file),
        "photometric interpretation": layout.photometric,
        "bits": f"{layout.stored} in {layout.allocated}, "
        f"{'signed' if layout.signed else 'unsigned'}",
        "rescale": _rescale(maps),
        "padding": _padding(maps),
        "series UID": uid(dataset, "SeriesInstanceUID"),
    }
    for keyword, label in _TEXTS:
        facts[label] = _printable(text(dataset, keyword))
    for keyword, label in _NUMBERS:
        value = number(dataset, keyword)
        facts[label] = "" if value is None else f"{value:g}"
    return {label: value for label, value in facts.items() if value}


def uid_name(value: str) -> str:
    """Return the registered name of an identifier, the number itself if it has none."""
    return UID(value).name[:64] if value else ""


def _compression(file: DicomFile) -> str:
    """Return how the pixels are compressed now, and whether they were ever lossy."""
    name = "deflate" if file.syntax == DeflatedExplicitVRLittleEndian else "none"
    if file.syntax.is_compressed:
        name = "lossless" if "Lossless" in file.syntax.name else "lossy"
    was_lossy = code(file.dataset, "LossyImageCompression") == "01"
    return f"{name}, of lossy pixels" if was_lossy and name != "lossy" else name


def _rescale(maps: list[ValueMap]) -> str:
    slopes = {item.slope for item in maps}
    if len(slopes) > 1:
        return f"{len(slopes)} slopes from {min(slopes):g} to {max(slopes):g}"
    return f"slope {maps[0].slope:g}, intercept {maps[0].intercept:g}"


def _padding(maps: list[ValueMap]) -> str:
    padding = maps[0].padding
    if padding is None:
        return ""
    low, high = padding
    return f"{low}" if low == high else f"{low} to {high}"


def _printable(text: str) -> str:
    return "".join(c for c in text[:64] if c.isascii() and c.isprintable())
