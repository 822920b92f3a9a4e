import dataclasses
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.formats.dicom_scans import (
    DERIVATION,
    open_dicom,
    ramp,
    restore,
    save_dicom,
    shared,
    stored,
    uid,
    validator_errors,
)
from tests.formats.enhanced_scans import ENHANCED, ENHANCED_CT, ENHANCED_PET, enhanced_dataset


@pytest.mark.parametrize(("modality", "sop_class", "unit"), ENHANCED)
def test_frames_have_values_of_their_own_rescale(
    tmp_path: Path, modality: str, sop_class: str, unit: str | None
) -> None:
    source = save_dicom(enhanced_dataset(modality, sop_class), tmp_path / "in.dcm")
    reader = open_dicom(source)
    assert reader.info.unit == unit
    assert reader.info.planes == 3
    assert reader.info.spacing_mm == (2, 0.7, 0.5)
    for frame in range(3):
        slope, intercept = (0.5 + frame, 0) if modality == "PT" else (1, -1024 - frame)
        assert np.allclose(reader.read(frame)[0], (ramp() + frame) * slope + intercept)


@pytest.mark.parametrize(("modality", "sop_class", "unit"), ENHANCED)
def test_identity_keeps_stored_values_and_rescale(
    tmp_path: Path, modality: str, sop_class: str, unit: str | None
) -> None:
    source = save_dicom(enhanced_dataset(modality, sop_class), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm")
    assert np.array_equal(stored(out), stored(source))
    before, after = open_dicom(source), open_dicom(out)
    assert [plane.values for plane in after.planes] == [plane.values for plane in before.planes]
    assert after.info.spacing_mm == before.info.spacing_mm
    assert after.info.unit == unit


def test_each_frame_refers_to_the_frame_it_was_made_from(tmp_path: Path) -> None:
    source = save_dicom(enhanced_dataset("CT", ENHANCED_CT), tmp_path / "in.dcm")
    restore(source, tmp_path / "out.dcm", lambda hu: hu + 1)
    out = pydicom.dcmread(tmp_path / "out.dcm")
    assert list(out.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "FILTERED"]
    shared_groups = out.SharedFunctionalGroupsSequence[0]
    assert shared_groups.CTImageFrameTypeSequence[0].FrameType == out.ImageType
    for number, groups in enumerate(out.PerFrameFunctionalGroupsSequence):
        reference = groups.DerivationImageSequence[0].SourceImageSequence[0]
        assert reference.ReferencedSOPInstanceUID == uid("image", 1)
        assert reference.ReferencedFrameNumber == number + 1
    evidence = out.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.SeriesInstanceUID == uid("series")
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == uid("image", 1)


def test_pet_frames_get_slopes_and_real_world_maps_of_their_own(tmp_path: Path) -> None:
    source = save_dicom(enhanced_dataset("PT", ENHANCED_PET), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda values: values * np.float32(1.5))
    before, after = open_dicom(source), open_dicom(out)
    assert len({plane.values.slope for plane in after.planes}) == 3
    for frame in range(3):
        slope = after.planes[frame].values.slope
        error = np.abs(after.read(frame) - before.read(frame) * np.float32(1.5)).max()
        assert error <= slope / 2 * (1 + 1e-5)
    groups = pydicom.dcmread(out).PerFrameFunctionalGroupsSequence
    for plane, item in zip(after.planes, groups, strict=True):
        mapping = item.RealWorldValueMappingSequence[0]
        assert mapping.RealWorldValueSlope == pytest.approx(plane.values.slope)


def test_four_times_as_fine_every_frame_moves(tmp_path: Path) -> None:
    source = save_dicom(enhanced_dataset("MR", ENHANCED[2][1]), tmp_path / "in.dcm")
    finer = dataclasses.replace(DERIVATION, method="resample", scale=4)
    grow = np.ones((4, 4))
    restore(source, tmp_path / "out.dcm", lambda values: np.kron(values, grow), finer)
    reader = open_dicom(tmp_path / "out.dcm")
    assert reader.info.spacing_mm == (2, 0.175, 0.125)
    for frame, plane in enumerate(reader.planes):
        assert plane.geometry.position == pytest.approx((-10.1875, -20.2625, 2 * frame))
    assert pydicom.dcmread(tmp_path / "out.dcm").ImageType[3] == "RESAMPLED"


def test_frames_may_be_written_in_any_order(tmp_path: Path) -> None:
    from ratcli.formats import create_scan, open_scan

    source = save_dicom(enhanced_dataset("CT", ENHANCED_CT), tmp_path / "in.dcm")
    with open_scan(source) as reader, create_scan(reader, tmp_path / "o", DERIVATION) as writer:
        for plane in (2, 0, 1):
            writer.write(plane, reader.read(plane))
    assert np.array_equal(stored(tmp_path / "o"), stored(source))


@pytest.mark.parametrize(
    "name",
    [
        "eCT_Supplemental.dcm",
        "emri_small.dcm",
        "emri_small_RLE.dcm",
        "emri_small_big_endian.dcm",
        "emri_small_jpeg_2k_lossless.dcm",
        "emri_small_jpeg_ls_lossless.dcm",
        "23x38x3_mf.dcm",
        "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm",
    ],
)
def test_a_real_object_keeps_its_frames_and_gets_no_new_error(tmp_path: Path, name: str) -> None:
    source = shared("formats", "dicom", "enhanced", name)
    out = restore(source, tmp_path / "out.dcm")
    assert np.array_equal(stored(out), stored(source))
    assert validator_errors(out) <= validator_errors(source)


def test_many_frames_wait_on_the_disk_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ratcli.formats.dicom.pixels._MEMORY_BYTES", 0)
    source = save_dicom(enhanced_dataset("CT", ENHANCED_CT, frames=5), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm")
    assert np.array_equal(stored(out), stored(source))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.dcm", "out.dcm"]
