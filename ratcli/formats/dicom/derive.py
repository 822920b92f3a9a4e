"""The header of a derived image: elements that are kept, changed and removed.

Source: PS3.3, C.7.6.1 (general image), C.12.1 (SOP common), C.7.5.2 (contributing equipment).
"""

from __future__ import annotations

import datetime as dt

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import format_number_as_ds

from ratcli.formats.dicom.codec import JPEG_LOSSY
from ratcli.formats.dicom.elements import correct_decimal_commas, integer, items, numbers, text, uid
from ratcli.formats.dicom.enhanced import (
    describe_frames,
    drop_original_only,
    is_enhanced,
    scale_frames,
)
from ratcli.formats.dicom.frames import FrameFile
from ratcli.formats.dicom.geometry import scaled_position
from ratcli.formats.dicom.identity import (
    derived_uid,
    equipment_item,
    image_place,
    instance_uid,
    method_codes,
    owner,
    series_uid,
    sop_class,
    source_item,
)
from ratcli.formats.dicom.layout import PixelLayout, lacks_frame_count
from ratcli.formats.dicom.overlays import scale_overlays
from ratcli.scan import Derivation

_STALE = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    "IconImageSequence",
    "MACParametersSequence",
    "DigitalSignaturesSequence",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelDataProviderURL",
)
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_SERIES_NUMBER_OFFSET = 9000


def derive_header(source: FrameFile, derivation: Derivation) -> Dataset:
    """Return a copy of an image's header, changed for the image that is derived from it.

    Pixel layout and rescale are set by `set_layout` and the writer.

    Args:
        source: the image.
        derivation: what was done.
    """
    dataset = _copy(source)
    _drop_stale(dataset)
    if lacks_frame_count(dataset):
        del dataset.NumberOfFrames
        if is_enhanced(dataset):
            dataset.NumberOfFrames = 1
    correct_decimal_commas(dataset)
    _identify(dataset, source, derivation)
    _describe(dataset, source, derivation)
    _mark_loss(dataset, source)
    drop_original_only(dataset)
    if derivation.scale > 1:
        _scale(dataset, derivation.scale)
        big_endian = not source.file.syntax.is_little_endian
        scale_overlays(dataset, derivation.scale, big_endian=big_endian)
    return dataset


def file_meta(dataset: Dataset, syntax: UID) -> FileMetaDataset:
    """Return new meta elements; those of the source name the scanner's software."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return meta


def set_layout(dataset: Dataset, layout: PixelLayout) -> None:
    """Write the Image Pixel module of a layout."""
    dataset.Rows, dataset.Columns = layout.rows, layout.columns
    dataset.SamplesPerPixel = layout.samples
    dataset.PhotometricInterpretation = layout.photometric
    dataset.BitsAllocated, dataset.BitsStored = layout.allocated, layout.stored
    dataset.HighBit = layout.high_bit
    dataset.PixelRepresentation = int(layout.signed)
    if layout.samples > 1:
        dataset.PlanarConfiguration = int(layout.planar)


def derived_type(image_type: str, derivation: Derivation) -> list[str]:
    """Return an image type with DERIVED first, and STD_DEVIATION fourth for an uncertainty."""
    values = image_type.split("\\") if image_type else ["", "PRIMARY"]
    values = ["DERIVED", *values[1:]] if len(values) > 1 else ["DERIVED", "PRIMARY"]
    if derivation.method == "uncertainty":
        values[3:4] = ["STD_DEVIATION"]
    return values


def _copy(source: FrameFile) -> Dataset:
    dataset = source.file.copy_header()
    for element in source.file.elements_after(source.end):
        if 0x7FE0 < element.tag.group < 0xFFFA:
            dataset.add(element)
    return dataset


def _drop_stale(dataset: Dataset) -> None:
    for keyword in _STALE:
        if keyword in dataset:
            delattr(dataset, keyword)
    for tag in [tag for tag in dataset.keys() if tag.group in (0x0000, 0x0002)]:  # noqa: SIM118
        del dataset[tag]


def _identify(dataset: Dataset, source: FrameFile, derivation: Derivation) -> None:
    """Give the image and its series new identifiers; patient and study stay."""
    file, instance = source.file, instance_uid(source.file)
    if not uid(dataset, "SOPClassUID") and "Laterality" not in dataset:
        # Anonymised so far that the class is gone; a classic image needs it, and it may be empty.
        dataset.Laterality = ""
    dataset.SOPClassUID = sop_class(file)
    whose = owner(file.dataset)
    place = [*image_place(dataset), *whose]
    if source.repeat:  # images of one identifier get an identifier each
        place.append(str(source.repeat))
    dataset.SOPInstanceUID = derived_uid("\0".join(["instance", instance, *place]), derivation)
    series = "\0".join([series_uid(file) or instance, *whose])
    dataset.SeriesInstanceUID = derived_uid(f"series\0{series}", derivation)
    for keyword in ("ConcatenationUID", "SOPInstanceUIDOfConcatenationSource"):
        whole = uid(dataset, keyword)
        if whole:  # shared by the parts of one image, each of which is derived by itself
            setattr(dataset, keyword, derived_uid("\0".join([keyword, whole, *whose]), derivation))
    if not uid(dataset, "StudyInstanceUID"):
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study of", series])
    number = integer(dataset, "SeriesNumber")
    dataset.SeriesNumber = _SERIES_NUMBER_OFFSET + (number or 0) % 1000
    dataset.SeriesDescription = _joined(text(dataset, "SeriesDescription"), derivation.label, 64)
    now = dt.datetime.now()
    dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.InstanceCreationTime = now.strftime("%H%M%S")


def _describe(dataset: Dataset, source: FrameFile, derivation: Derivation) -> None:
    """Record what was done, by what, and to which image."""
    if is_enhanced(dataset):
        describe_frames(dataset, source, derivation)
    else:
        dataset.ImageType = derived_type(text(dataset, "ImageType"), derivation)
        dataset.SourceImageSequence = Sequence([source_item(source, derivation)])
        codes = method_codes(derivation)
        if codes is not None:
            dataset.DerivationCodeSequence = codes
    dataset.DerivationDescription = _joined(
        text(dataset, "DerivationDescription"), derivation.description, 1024
    )
    equipment = items(dataset, "ContributingEquipmentSequence")
    dataset.ContributingEquipmentSequence = Sequence([*equipment, equipment_item(derivation)])
    dataset.ContentQualification = "RESEARCH"


def _mark_loss(dataset: Dataset, source: FrameFile) -> None:
    """Mark pixels as lossy if only the transfer syntax of the source says so.

    Source: PS3.3, C.7.6.1.1.5: an image that was once compressed with loss stays marked.
    """
    if source.file.syntax not in JPEG_LOSSY or text(dataset, "LossyImageCompression") == "01":
        return
    layout, compressed = source.layout, source.end - source.pixels.offset
    ratio = layout.frame_bytes * layout.frames / max(1, compressed)
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.LossyImageCompressionRatio = f"{ratio:.4g}"


def _joined(old: str, new: str, length: int) -> str:
    """Put new words behind the old ones, which are cut if there is no room for both."""
    if not old:
        return new[:length]
    room = length - len(new) - 2
    return f"{old[:room]}; {new}" if room > 0 else new[:length]


def _scale(dataset: Dataset, scale: int) -> None:
    """Make the geometry that of a grid `scale` times as fine."""
    if is_enhanced(dataset):
        scale_frames(dataset, scale)
    spacing = numbers(dataset, "PixelSpacing")
    position = numbers(dataset, "ImagePositionPatient")
    orientation = numbers(dataset, "ImageOrientationPatient")
    if spacing and position and orientation:
        moved = scaled_position(position, orientation, spacing, scale)
        dataset.ImagePositionPatient = [format_number_as_ds(value) for value in moved]
    for keyword in _SPACINGS:
        values = numbers(dataset, keyword)
        if values:
            setattr(dataset, keyword, [format_number_as_ds(value / scale) for value in values])
