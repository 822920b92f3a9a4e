"""What a derived image says about itself."""

import dataclasses
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from ratcli.errors import OutputError
from ratcli.formats import create_scan, open_scan
from ratcli.scan import Box
from tests.formats.dicom_scans import (
    DERIVATION,
    dicom_dataset,
    open_dicom,
    ramp,
    restore,
    save_dicom,
    save_series,
    uid,
)


@pytest.fixture
def derived(tmp_path: Path) -> tuple[Dataset, Dataset]:
    """Return the data sets of a source and of what was derived from it."""
    dataset = dicom_dataset(
        ramp(),
        SmallestImagePixelValue=-1000,
        LargestImagePixelValue=1500,
        WindowCenter="40",
        WindowWidth="400",
        BurnedInAnnotation="NO",
        LossyImageCompression="00",
    )
    dataset.add_new(0x00091001, "LO", "private")
    dataset.add_new(0x00090010, "LO", "PHANTOM WORKS")
    dataset.IconImageSequence = [Dataset()]
    source = save_dicom(dataset, tmp_path / "in.dcm")
    restore(source, tmp_path / "out.dcm", lambda hu: hu + 1)
    return pydicom.dcmread(source), pydicom.dcmread(tmp_path / "out.dcm")


def test_patient_study_and_geometry_stay(derived: tuple[Dataset, Dataset]) -> None:
    source, out = derived
    kept = ["PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "StudyDate"]
    kept += ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"]
    kept += ["KVP", "WindowCenter", "WindowWidth", "BurnedInAnnotation", "LossyImageCompression"]
    kept += ["RescaleSlope", "RescaleIntercept", "InstanceNumber"]
    assert {key: out.get(key) for key in kept} == {key: source.get(key) for key in kept}
    assert out[0x00091001].value == "private"


def test_identifiers_are_new_and_meta_agrees(derived: tuple[Dataset, Dataset]) -> None:
    source, out = derived
    assert out.SOPInstanceUID != source.SOPInstanceUID
    assert out.SeriesInstanceUID != source.SeriesInstanceUID
    assert out.SeriesNumber != source.SeriesNumber
    assert out.file_meta.MediaStorageSOPInstanceUID == out.SOPInstanceUID
    assert out.file_meta.MediaStorageSOPClassUID == source.SOPClassUID


def test_the_derivation_is_recorded_in_codes(derived: tuple[Dataset, Dataset]) -> None:
    source, out = derived
    assert list(out.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
    assert out.DerivationDescription == DERIVATION.description
    assert out.DerivationCodeSequence[0].CodeValue == "113087"
    (reference,) = out.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert reference.SpatialLocationsPreserved == "YES"
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert out.ContentQualification == "RESEARCH"
    assert out.SeriesDescription == "THORAX; RAT denoised"


def test_stale_elements_are_gone(derived: tuple[Dataset, Dataset]) -> None:
    _, out = derived
    assert "SmallestImagePixelValue" not in out
    assert "LargestImagePixelValue" not in out
    assert "IconImageSequence" not in out


def test_earlier_equipment_stays_and_ours_is_appended(tmp_path: Path) -> None:
    earlier = Dataset()
    earlier.Manufacturer = "Scanner"
    dataset = dicom_dataset(ramp(), ContributingEquipmentSequence=[earlier])
    restore(save_dicom(dataset, tmp_path / "in.dcm"), tmp_path / "out.dcm")
    first, ours = pydicom.dcmread(tmp_path / "out.dcm").ContributingEquipmentSequence
    assert first.Manufacturer == "Scanner"
    assert ours.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert ours.SoftwareVersions == "1.2.3"


def test_a_rerun_gives_the_same_identifiers_and_other_settings_give_others(
    tmp_path: Path,
) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    other = dataclasses.replace(DERIVATION, settings=("strength=0.5",))
    first = pydicom.dcmread(restore(source, tmp_path / "1.dcm"))
    again = pydicom.dcmread(restore(source, tmp_path / "2.dcm"))
    changed = pydicom.dcmread(restore(source, tmp_path / "3.dcm", derivation=other))
    assert first.SOPInstanceUID == again.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID
    assert first.SOPInstanceUID != changed.SOPInstanceUID
    assert first.SeriesInstanceUID != changed.SeriesInstanceUID


def test_a_series_shares_one_new_series_and_each_image_has_its_own_identifier(
    tmp_path: Path,
) -> None:
    out = restore(save_series(tmp_path / "in"), tmp_path / "out")
    datasets = [pydicom.dcmread(path) for path in out.iterdir()]
    assert len(datasets) == 4
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 1
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == 4


def test_slices_that_an_anonymiser_gave_one_identifier_stay_apart(tmp_path: Path) -> None:
    out = restore(save_series(tmp_path / "in", SOPInstanceUID=uid("all")), tmp_path / "out")
    datasets = [pydicom.dcmread(path) for path in out.iterdir()]
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == 4


def test_output_files_keep_the_names_of_the_input_files(tmp_path: Path) -> None:
    source = save_series(tmp_path / "in")
    out = restore(source, tmp_path / "out")
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in source.iterdir())


def test_four_times_as_fine_the_corner_of_the_image_stays(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    finer = dataclasses.replace(DERIVATION, method="resample", scale=4)
    restore(source, tmp_path / "out.dcm", lambda hu: np.kron(hu, np.ones((4, 4))), finer)
    out = pydicom.dcmread(tmp_path / "out.dcm")
    assert (out.Rows, out.Columns) == (64, 80)
    assert list(out.PixelSpacing) == [0.175, 0.125]
    # -0.375 of the old spacing: 0.5 mm along a row (x), 0.7 mm along a column (y).
    assert list(out.ImagePositionPatient) == pytest.approx([-10.1875, -20.2625, 5])
    assert out.DerivationCodeSequence[0].CodeValue == "113085"
    assert out.SourceImageSequence[0].SpatialLocationsPreserved == "NO"
    assert np.array_equal(out.pixel_array, np.kron(ramp(), np.ones((4, 4), int)))


def test_padding_is_enlarged_with_the_grid(tmp_path: Path) -> None:
    values = ramp()
    values[0, 0] = -2000
    source = save_dicom(dicom_dataset(values, PixelPaddingValue=-2000), tmp_path / "in.dcm")
    finer = dataclasses.replace(DERIVATION, method="resample", scale=2)
    restore(source, tmp_path / "out.dcm", lambda hu: np.kron(hu * 0, np.ones((2, 2))), finer)
    out = pydicom.dcmread(tmp_path / "out.dcm").pixel_array
    assert (out[:2, :2] == -2000).all()
    assert (out == -2000).sum() == 4


def test_boxes_make_the_same_file_as_whole_planes(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    with open_scan(source) as reader, create_scan(reader, tmp_path / "o", DERIVATION) as writer:
        for top in (0, 8):
            for left in (0, 13):
                box = Box(top, left, 8, min(13, 20 - left))
                writer.write(0, reader.read(0, box), box)
    assert np.array_equal(open_dicom(tmp_path / "o").read(0), open_dicom(source).read(0))


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    source = save_series(tmp_path / "in")
    out = tmp_path / "out"
    with (  # noqa: PT012
        pytest.raises(KeyboardInterrupt),
        open_scan(source) as reader,
        create_scan(reader, out, DERIVATION) as writer,
    ):
        writer.write(0, reader.read(0))
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_scan_without_all_of_its_planes_is_not_kept(tmp_path: Path) -> None:
    source = save_series(tmp_path / "in")
    with (
        pytest.raises(ValueError, match="before all of its planes"),
        open_scan(source) as reader,
        create_scan(reader, tmp_path / "out", DERIVATION) as writer,
    ):
        writer.write(0, reader.read(0))
    assert not (tmp_path / "out").exists()


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    source = save_series(tmp_path / "in")
    single = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    for path in (source, single):
        with open_scan(path) as reader, pytest.raises(OutputError, match="is the input itself"):
            create_scan(reader, path, DERIVATION, overwrite=True)


def test_an_output_that_exists_is_refused(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    restore(source, tmp_path / "out.dcm")
    with open_scan(source) as reader, pytest.raises(OutputError, match="already exists"):
        create_scan(reader, tmp_path / "out.dcm", DERIVATION)


def test_facts_for_info_hold_nothing_about_the_patient(tmp_path: Path) -> None:
    path = save_dicom(dicom_dataset(ramp(), ProtocolName="Doe"), tmp_path / "in.dcm")
    told = repr(open_scan(path).info)
    for secret in ("Doe", "SECRET-77", "19700101", "THORAX", "20200101"):
        assert secret not in told
    assert open_scan(path).info.details["kernel"] == "B30f"
