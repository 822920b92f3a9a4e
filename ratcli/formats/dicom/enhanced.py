"""The functional groups of a derived multi-frame image.

Source: PS3.3, C.7.6.16 (functional groups), C.7.6.16.2.6 (derivation image), C.8.16.1 (frame type).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import format_number_as_ds

from ratcli.formats.dicom.elements import items, numbers, text, uid
from ratcli.formats.dicom.frame_facts import functional
from ratcli.formats.dicom.frames import FrameFile
from ratcli.formats.dicom.geometry import scaled_position
from ratcli.formats.dicom.identity import instance_uid, method_codes, sop_class, source_item
from ratcli.scan import Derivation

_FRAME_TYPES = (
    "CTImageFrameTypeSequence",
    "MRImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "MRSpectroscopyFrameTypeSequence",
)
_ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
# "May not be present" in a derived image; the source image, which is referred to, has them.
_ORIGINAL_MR_ONLY = (
    "BulkMotionCompensationTechnique",
    "BulkMotionSignalSource",
    "PulseSequenceName",
    "MRAcquisitionType",
    "EchoPulseSequence",
    "MultipleSpinEcho",
    "MultiPlanarExcitation",
    "PhaseContrast",
    "VelocityEncodingAcquisitionSequence",
    "TimeOfFlightContrast",
    "ArterialSpinLabelingContrast",
    "SteadyStatePulseSequence",
    "EchoPlanarPulseSequence",
    "SaturationRecovery",
    "SpectrallySelectedSuppression",
    "OversamplingPhase",
    "GeometryOfKSpaceTraversal",
    "RectilinearPhaseEncodeReordering",
    "SegmentedKSpaceTraversal",
    "CoverageOfKSpace",
    "NumberOfKSpaceTrajectories",
)
_CONTRASTS = {"denoise": "FILTERED", "resample": "RESAMPLED", "uncertainty": "STD_DEVIATION"}


def drop_original_only(dataset: Dataset) -> None:
    """Delete elements that only an original enhanced MR image may have.

    Source: PS3.3, C.8.13.4 (MR pulse sequence), C.8.13.2 (synchronisation).
    """
    if uid(dataset, "SOPClassUID") == _ENHANCED_MR:
        for keyword in _ORIGINAL_MR_ONLY:
            if keyword in dataset:
                delattr(dataset, keyword)


def is_enhanced(dataset: Dataset) -> bool:
    """Return whether an image describes its frames in functional groups."""
    return bool(items(dataset, "PerFrameFunctionalGroupsSequence"))


def describe_frames(dataset: Dataset, source: FrameFile, derivation: Derivation) -> None:
    """Record in the groups of every frame what it was derived from, and in the header its sources.

    Args:
        dataset: header of the derived image; changed.
        source: the image it is derived from.
        derivation: what was done.
    """
    dataset.ImageType = frame_type(text(dataset, "ImageType"), derivation)
    for group in _groups(dataset):
        for keyword in _FRAME_TYPES:
            for item in items(group, keyword):
                item.FrameType = frame_type(text(item, "FrameType"), derivation)
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    for number, group in enumerate(frames):
        item = Dataset()
        item.DerivationDescription = derivation.description[:1024]
        item.DerivationCodeSequence = method_codes(derivation) or Sequence()
        item.SourceImageSequence = Sequence([source_item(source, derivation, number)])
        group.DerivationImageSequence = Sequence([item])
    for shared in items(dataset, "SharedFunctionalGroupsSequence"):
        if "DerivationImageSequence" in shared:
            del shared.DerivationImageSequence
    dataset.SourceImageEvidenceSequence = Sequence([_evidence(source)])


def frame_type(old: str, derivation: Derivation) -> list[str]:
    """Return the type of a derived frame.

    Its fourth value, the contrast, is kept unless the frame holds standard deviations.
    """
    values = old.split("\\") if old else []
    values += ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"][len(values) :]
    if values[3] in ("", "NONE") or derivation.method == "uncertainty":
        values[3] = _CONTRASTS.get(derivation.method, "FILTERED")
    return ["DERIVED", *values[1:]]


def scale_frames(dataset: Dataset, scale: int) -> None:
    """Make the frames' geometry that of a grid `scale` times as fine."""
    for number, group in enumerate(items(dataset, "PerFrameFunctionalGroupsSequence")):
        _move(dataset, group, number, scale)
    for group in _groups(dataset):
        for item in items(group, "PixelMeasuresSequence"):
            spacing = numbers(item, "PixelSpacing") or ()
            item.PixelSpacing = [format_number_as_ds(value / scale) for value in spacing]


def set_frame_slopes(dataset: Dataset, slopes: list[str | None]) -> None:
    """Give frames rescale slopes of their own; a frame with None keeps the one it has.

    Args:
        dataset: header of the derived image; changed.
        slopes: decimal strings, one for each frame.
    """
    keyword = "PixelValueTransformationSequence"
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    for number, (group, slope) in enumerate(zip(groups, slopes, strict=True)):
        found = functional(dataset, number, keyword)
        item = Dataset()
        item.RescaleIntercept, item.RescaleSlope = "0", slope or "1"
        if slope is None and found is not dataset:
            item.RescaleIntercept, item.RescaleSlope = found.RescaleIntercept, found.RescaleSlope
        item.RescaleType = text(found, "RescaleType") or "US"
        setattr(group, keyword, Sequence([item]))
    for shared in items(dataset, "SharedFunctionalGroupsSequence"):
        if keyword in shared:
            delattr(shared, keyword)


def _groups(dataset: Dataset) -> Iterator[Dataset]:
    yield from items(dataset, "SharedFunctionalGroupsSequence")
    yield from items(dataset, "PerFrameFunctionalGroupsSequence")


def _move(dataset: Dataset, group: Dataset, number: int, scale: int) -> None:
    place = functional(dataset, number, "PlanePositionSequence")
    position = numbers(place, "ImagePositionPatient")
    orientation = numbers(
        functional(dataset, number, "PlaneOrientationSequence"), "ImageOrientationPatient"
    )
    spacing = numbers(functional(dataset, number, "PixelMeasuresSequence"), "PixelSpacing")
    if position and orientation and spacing:
        moved = scaled_position(position, orientation, spacing, scale)
        item = Dataset()
        item.ImagePositionPatient = [format_number_as_ds(value) for value in moved]
        group.PlanePositionSequence = Sequence([item])


def _evidence(source: FrameFile) -> Dataset:
    """Return the study, series and image that the frames refer to."""
    image = Dataset()
    image.ReferencedSOPClassUID = sop_class(source.file)
    image.ReferencedSOPInstanceUID = instance_uid(source.file)
    series = Dataset()
    series.SeriesInstanceUID = uid(source.file.dataset, "SeriesInstanceUID")
    series.ReferencedSOPSequence = Sequence([image])
    study = Dataset()
    study.StudyInstanceUID = uid(source.file.dataset, "StudyInstanceUID")
    study.ReferencedSeriesSequence = Sequence([series])
    return study
