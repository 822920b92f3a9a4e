"""Region maps: what is written is read back, on the scan's own grid."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile

from ratcli.errors import (
    InputNotFoundError,
    OutputError,
    UnreadableInputError,
    UnsuitableInputError,
    UsageError,
)
from ratcli.formats import find_scans, open_scan
from ratcli.formats.dicom.geometry import snapped
from ratcli.formats.regions import SUFFIXES, create_regions, open_regions
from ratcli.scan import Derivation, ScanReader
from tests.formats.dicom_scans import DERIVATION, dicom_dataset, ramp, save_dicom, uid
from tests.formats.dicom_slides import picture, slide_dataset

MADE = Derivation("segment", "regions by test", "Regions", version="0.1", settings=("test",))
SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
AXIAL, SAGITTAL = ["1", "0", "0", "0", "1", "0"], ["0", "1", "0", "0", "0", "-1"]


def series(folder: Path, planes: int = 3, orientation: list[str] = AXIAL, **changes) -> Path:
    """Write a series whose file names do not follow its positions."""
    folder.mkdir()
    axis = np.cross([float(x) for x in orientation[:3]], [float(x) for x in orientation[3:]])
    for k in range(planes):
        position = [f"{x:g}" for x in np.array([-10.0, -20, 5]) + 2.5 * k * axis]
        ds = dicom_dataset(
            ramp(),
            SOPInstanceUID=uid("image", k),
            InstanceNumber=k + 1,
            ImagePositionPatient=position,
            ImageOrientationPatient=orientation,
            **changes,
        )
        save_dicom(ds, folder / f"{(7 * k) % 5}.dcm")
    return folder


def nifti(path: Path, affine=None, shape=(7, 6, 4), dtype=np.int16) -> Path:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    affine = np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def maps_of(reader: ScanReader, seed: int = 0) -> list[np.ndarray]:
    info, rng = reader.info, np.random.default_rng(seed)
    maps = rng.integers(0, 4, (info.planes, info.height, info.width)).astype(np.int32)
    maps[:, 0, :4] = np.arange(4)  # every number is there
    return list(maps)


def write(reader: ScanReader, path: Path, maps, **options) -> Path:
    with create_regions(reader, path, MADE, **options) as writer:
        for plane, labels in enumerate(maps):
            writer.write(plane, labels)
    return path


def assert_same(reader: ScanReader, path: Path, maps) -> None:
    with open_regions(path, reader) as regions:
        for plane, labels in enumerate(maps):
            assert np.array_equal(regions.regions(plane).labels, labels), plane


@pytest.mark.parametrize("kind", SUFFIXES)
@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL])
def test_regions_of_a_series_come_back_plane_for_plane(tmp_path, kind, orientation):
    folder = series(tmp_path / "series", orientation=orientation)
    with open_scan(folder) as reader:
        maps = maps_of(reader)
        path = write(reader, tmp_path / f"r{SUFFIXES[kind]}", maps, kind=kind)
        assert_same(reader, path, maps)


@pytest.mark.parametrize("kind", ["nifti", "tiff"])
def test_regions_of_a_nifti_come_back(tmp_path, kind):
    flipped = np.array([[0, 0, 3.0, 5], [-2.0, 0, 0, 7], [0, -4.0, 0, 9], [0, 0, 0, 1]])
    with open_scan(nifti(tmp_path / "scan.nii", flipped)) as reader:
        maps = maps_of(reader)
        path = write(reader, tmp_path / f"r{SUFFIXES[kind]}", maps, kind=kind)
        assert_same(reader, path, maps)


def test_regions_of_a_four_dimensional_nifti_come_back(tmp_path):
    with open_scan(nifti(tmp_path / "scan.nii.gz", shape=(5, 6, 3, 2))) as reader:
        maps = maps_of(reader)
        path = write(reader, tmp_path / "r.nii.gz", maps)
        assert nib.load(path).shape == (5, 6, 3, 2)
        assert_same(reader, path, maps)


def test_nifti_labels_have_the_affine_and_codes_of_the_scan(tmp_path):
    affine = np.array([[0.1, 0, 3.0, 5], [-2.0, 0.2, 0, 7], [0, -4.0, 0, 9], [0, 0, 0, 1]])
    source = nifti(tmp_path / "scan.nii.gz", affine, dtype=np.float32)
    with open_scan(source) as reader:
        path = write(reader, tmp_path / "r.nii.gz", maps_of(reader))
    made, given = nib.load(path), nib.load(source)
    assert np.array_equal(made.affine, given.affine)
    for code in ("qform_code", "sform_code", "xyzt_units"):
        assert made.header[code] == given.header[code]
    assert made.shape == given.shape
    assert made.get_data_dtype() == np.uint16
    assert made.header["intent_code"] == 1002
    assert np.asarray(made.dataobj).min() == 1


def test_nifti_labels_of_a_dicom_series_lie_where_it_lies(tmp_path):
    folder = series(tmp_path / "series")
    with open_scan(folder) as reader:
        path = write(reader, tmp_path / "r.nii.gz", maps_of(reader), kind="nifti")
    image = nib.load(path)
    expected = [[-0.5, 0, 0, 10], [0, -0.7, 0, 20], [0, 0, 2.5, 5], [0, 0, 0, 1]]
    assert np.allclose(image.affine, expected, atol=1e-6)  # NIfTI-1 keeps 24 bits


def test_nifti_labels_in_another_voxel_order_are_found_by_place(tmp_path):
    with open_scan(series(tmp_path / "series")) as reader:
        maps = maps_of(reader)
        path = write(reader, tmp_path / "r.nii.gz", maps, kind="nifti")
        turned = nib.as_closest_canonical(nib.load(path))
        nib.save(turned, tmp_path / "turned.nii.gz")
        assert turned.affine[0, 0] > 0
        assert_same(reader, tmp_path / "turned.nii.gz", maps)


def test_nifti_labels_that_lie_elsewhere_are_refused(tmp_path):
    with open_scan(series(tmp_path / "series")) as reader:
        path = write(reader, tmp_path / "r.nii.gz", maps_of(reader), kind="nifti")
        image = nib.load(path)
        moved = image.affine.copy()
        moved[2, 3] += 100
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), tmp_path / "moved.nii.gz")
        with (
            open_regions(tmp_path / "moved.nii.gz", reader) as regions,
            pytest.raises(UnsuitableInputError, match="at another place than the scan"),
        ):
            regions.regions(0)


def test_tiff_labels_are_lossless_and_know_their_pitch(tmp_path):
    tifffile.imwrite(
        tmp_path / "scan.tif",
        np.zeros((6, 8, 3), np.uint8),
        photometric="rgb",
        resolution=(40000, 20000),
        resolutionunit="CENTIMETER",
    )
    with open_scan(tmp_path / "scan.tif") as reader:
        maps = maps_of(reader)
        path = write(reader, tmp_path / "r.tif", maps)
        assert np.array_equal(tifffile.imread(path), maps[0] + 1)
        assert_same(reader, path, maps)
        with open_scan(path) as labels:
            assert labels.info.spacing_mm[1:] == pytest.approx(reader.info.spacing_mm[1:])


def test_more_regions_than_16_bits_are_kept(tmp_path):
    tifffile.imwrite(tmp_path / "scan.tif", np.zeros((300, 300), np.uint8))
    labels = np.arange(90000, dtype=np.int32).reshape(300, 300)
    with open_scan(tmp_path / "scan.tif", assume_unit="HU") as reader:
        path = write(reader, tmp_path / "r.tif", [labels])
        assert np.array_equal(tifffile.imread(path), labels + 1)


def test_one_plane_of_labels_serves_every_plane(tmp_path):
    labels = np.arange(6 * 7).reshape(6, 7).astype(np.uint8) // 9
    tifffile.imwrite(tmp_path / "r.tif", labels)
    with open_scan(nifti(tmp_path / "scan.nii")) as reader:
        assert (reader.info.height, reader.info.width) == (6, 7)
        with open_regions(tmp_path / "r.tif", reader) as regions:
            assert np.array_equal(regions.regions(0).labels, regions.regions(3).labels)


def test_a_seg_has_the_geometry_and_patient_of_its_series(tmp_path):
    folder = series(tmp_path / "series")
    with open_scan(folder) as reader:
        path = write(reader, tmp_path / "r.dcm", maps_of(reader))
    seg = pydicom.dcmread(path)
    source = pydicom.dcmread(folder / "0.dcm")
    assert seg.SegmentationType == "BINARY"
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert seg.PatientID == source.PatientID
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    assert [str(s.SegmentLabel) for s in seg.SegmentSequence] == [
        f"Region {n}" for n in (1, 2, 3, 4)
    ]
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(x) for x in measures.PixelSpacing] == [0.7, 0.5]
    heights = {
        float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        for group in seg.PerFrameFunctionalGroupsSequence
    }
    assert heights == {5.0, 7.5, 10.0}


def test_a_rerun_gives_the_same_identifiers_and_other_settings_give_others(tmp_path):
    with open_scan(series(tmp_path / "series")) as reader:
        maps = maps_of(reader)
        first = pydicom.dcmread(write(reader, tmp_path / "a.dcm", maps))
        again = pydicom.dcmread(write(reader, tmp_path / "b.dcm", maps))
        changed = dataclasses.replace(MADE, settings=("other",))
        with create_regions(reader, tmp_path / "c.dcm", changed) as writer:
            for plane, labels in enumerate(maps):
                writer.write(plane, labels)
    other = pydicom.dcmread(tmp_path / "c.dcm")
    assert first.SOPInstanceUID == again.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID
    assert first.SOPInstanceUID != other.SOPInstanceUID


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_segs_of_two_patients_or_studies_with_one_series_uid_differ(tmp_path, keyword):
    made = []
    for value in ("1.2.3", "1.2.4"):
        with open_scan(series(tmp_path / value, **{keyword: value})) as reader:
            made.append(pydicom.dcmread(write(reader, tmp_path / f"{value}.dcm", maps_of(reader))))
    assert made[0].SeriesInstanceUID != made[1].SeriesInstanceUID
    assert made[0].SOPInstanceUID != made[1].SOPInstanceUID


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
@pytest.mark.parametrize("planes", [1, 3])
def test_a_seg_has_no_error_for_dciodvfy(tmp_path, planes):
    with open_scan(series(tmp_path / "series", planes)) as reader:
        path = write(reader, tmp_path / "r.dcm", maps_of(reader))
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    assert "Error" not in done.stderr + done.stdout
    assert done.returncode == 0


def test_highdicom_reads_a_seg_by_source_image(tmp_path):
    import highdicom

    folder = series(tmp_path / "series")
    with open_scan(folder) as reader:
        maps = maps_of(reader)
        path = write(reader, tmp_path / "r.dcm", maps)
    seg = highdicom.seg.segread(path)
    stack = seg.get_pixels_by_source_instance(
        source_sop_instance_uids=[uid("image", k) for k in range(3)], combine_segments=True
    )
    assert np.array_equal(stack, np.stack(maps) + 1)


@pytest.mark.parametrize(
    "missing",
    [
        {"FrameOfReferenceUID": None},
        {"SliceThickness": None},
        {"PatientBirthDate": "X", "StudyTime": None, "SpecificCharacterSet": ""},
        {"StudyInstanceUID": None, "SeriesInstanceUID": None},
    ],
)
def test_headers_with_gaps_still_give_a_seg(tmp_path, missing):
    save_dicom(dicom_dataset(ramp(), **missing), tmp_path / "scan.dcm")
    with open_scan(tmp_path / "scan.dcm") as reader:
        maps = maps_of(reader)
        assert_same(reader, write(reader, tmp_path / "r.dcm", maps), maps)


def test_a_seg_of_a_scan_without_positions_is_refused(tmp_path):
    save_dicom(dicom_dataset(ramp(), ImagePositionPatient=None), tmp_path / "scan.dcm")
    with (
        open_scan(tmp_path / "scan.dcm") as reader,
        pytest.raises(OutputError, match="needs the position of each plane"),
    ):
        create_regions(reader, tmp_path / "r.dcm", MADE)


def test_a_seg_of_no_dicom_scan_is_refused(tmp_path):
    with (
        open_scan(nifti(tmp_path / "scan.nii")) as reader,
        pytest.raises(UsageError, match="needs a DICOM scan"),
    ):
        create_regions(reader, tmp_path / "r.dcm", MADE, kind="dicom")


def test_an_error_or_a_taken_name_leaves_nothing_new(tmp_path):
    with open_scan(nifti(tmp_path / "scan.nii")) as reader:
        with (
            pytest.raises(RuntimeError),
            create_regions(reader, tmp_path / "r.nii.gz", MADE),
        ):
            raise RuntimeError
        assert [path.name for path in tmp_path.iterdir()] == ["scan.nii"]
        (tmp_path / "r.nii.gz").write_bytes(b"kept")
        with pytest.raises(OutputError, match="exists"):
            create_regions(reader, tmp_path / "r.nii.gz", MADE)
        assert (tmp_path / "r.nii.gz").read_bytes() == b"kept"


def test_regions_of_another_size_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "r.tif", np.zeros((5, 5), np.uint8))
    with (
        open_scan(nifti(tmp_path / "scan.nii")) as reader,
        pytest.raises(UnsuitableInputError, match="1 x 5 x 5, but the scan is 4 x 6 x 7"),
    ):
        open_regions(tmp_path / "r.tif", reader)


@pytest.mark.parametrize("damage", ["cut", "text", "no frames", "missing"])
def test_broken_region_maps_are_told_in_a_sentence(tmp_path, damage):
    save_dicom(dicom_dataset(ramp()), tmp_path / "scan.dcm")
    with open_scan(tmp_path / "scan.dcm") as reader:
        path = write(reader, tmp_path / "r.dcm", maps_of(reader))
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-60])
        elif damage == "text":
            path.write_text("no region map")
        elif damage == "no frames":
            seg = pydicom.dcmread(path)
            del seg.PerFrameFunctionalGroupsSequence
            seg.save_as(path)
        else:
            path.unlink()
        expected = InputNotFoundError if damage == "missing" else UnreadableInputError
        with pytest.raises(expected), open_regions(path, reader) as regions:
            regions.regions(0)


def test_a_label_map_segmentation_is_read_too(tmp_path):
    import highdicom

    from ratcli.formats.regions.segmentation_writer import _segments, source_headers

    with open_scan(series(tmp_path / "series")) as reader:
        maps = maps_of(reader)
        seg = highdicom.seg.Segmentation(
            source_images=source_headers(reader),
            pixel_array=(np.stack(maps) + 1).astype(np.uint8),
            segmentation_type="LABELMAP",
            segment_descriptions=_segments(4, MADE),
            series_instance_uid=uid("seg series"),
            series_number=5,
            sop_instance_uid=uid("seg"),
            instance_number=1,
            manufacturer="x",
            manufacturer_model_name="x",
            software_versions="x",
            device_serial_number="x",
        )
        seg.save_as(tmp_path / "r.dcm")
        assert_same(reader, tmp_path / "r.dcm", maps)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared scans are not here")
@pytest.mark.parametrize(
    "name",
    [
        "ct/singles/ami_head_bigendian_ser002img00001-16-signed.dcm",
        "ct/singles/pancreas_0001_explicit_VR-UN.dcm",
        "formats/dicom/pet_suv_gml",
    ],
)
@pytest.mark.parametrize("kind", SUFFIXES)
def test_real_scans_round_trip(tmp_path, name, kind):
    source = find_scans(SHARED / name)[0]
    with open_scan(source) as reader:
        maps = maps_of(reader)
        assert_same(reader, write(reader, tmp_path / f"r{SUFFIXES[kind]}", maps, kind=kind), maps)


def slide(tmp_path):
    return save_dicom(slide_dataset(picture()), tmp_path / "slide.dcm")


@pytest.mark.parametrize("kind", ["tiff", "nifti"])
def test_regions_of_a_dicom_slide_come_back(tmp_path, kind):
    labels = np.arange(21 * 27, dtype=np.int32).reshape(21, 27) % 3
    path = tmp_path / "regions"
    with open_scan(slide(tmp_path)) as scan:
        with create_regions(scan, path, DERIVATION, kind=kind) as writer:
            writer.write(0, labels)
        with open_regions(path, scan) as found:
            np.testing.assert_array_equal(found.labels(0), labels + 1)


@pytest.mark.parametrize("planes", [1, 3])
def test_nifti_regions_of_a_tiff_are_not_mirrored(tmp_path, planes):
    stack = np.zeros((planes, 5, 7), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    labels = np.arange(planes * 35, dtype=np.int32).reshape(planes, 5, 7)
    path = tmp_path / "regions.nii.gz"
    with open_scan(tmp_path / "a.tif") as scan:
        with create_regions(scan, path, DERIVATION, kind="nifti") as writer:
            for plane in range(planes):
                writer.write(plane, labels[plane])
        with open_regions(path, scan) as found:
            read = np.stack([found.labels(plane) for plane in range(planes)])
    np.testing.assert_array_equal(read, labels + 1)


def test_a_seg_of_a_dicom_slide_is_refused(tmp_path):
    with (
        open_scan(slide(tmp_path)) as scan,
        pytest.raises(OutputError, match="needs the position of each plane"),
    ):
        create_regions(scan, tmp_path / "seg.dcm", DERIVATION, kind="dicom")


def test_frames_whose_positions_differ_by_rounding_are_one_place() -> None:
    assert snapped([2.0005001, 0.0, 2.0004999, 4.0, 1e-6]) == [2.0004999, 0.0, 2.0004999, 4.0, 0.0]
