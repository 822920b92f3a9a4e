"""Regions that the user gives as DICOM SEG or label maps: the right planes, names and pooling."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import tifffile
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ratcli.cli import app
from ratcli.errors import UnsuitableInputError
from ratcli.formats import open_scan
from ratcli.formats.regions import create_regions, open_regions
from ratcli.scan import Derivation

SIDE, PLANES = 64, 4
Rat = Callable[..., dict[str, list[dict[str, object]]]]


def _image(plane: int, hu: np.ndarray, z_mm: float) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, _uid("image", plane, z_mm)
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate"):
        setattr(image, name, "")
    for name in ("StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
        setattr(image, name, "")
    image.StudyInstanceUID, image.SeriesInstanceUID = _uid("study"), _uid("series")
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = _uid("frame"), ""
    image.Modality, image.SeriesNumber, image.InstanceNumber = "CT", 1, plane + 1
    image.ImagePositionPatient = [0, 0, z_mm]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [0.8, 0.8], 3.0
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = hu.shape
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = 1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = 0, 1, "HU"
    image.PixelData = hu.astype("<i2").tobytes()
    return image


def _uid(*names: object) -> str:
    return str(generate_uid(entropy_srcs=["regions", *map(str, names)]))


def _plane(plane: int) -> np.ndarray:
    hu = np.full((SIDE, SIDE), -1000)
    hu[4:-4, 4:-4] = 40 + 10 * plane
    return hu


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "scan"
    folder.mkdir()
    for plane in range(PLANES):
        image = _image(plane, _plane(plane), 3.0 * plane)
        image.save_as(folder / f"{plane}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture
def rat(series: Path, capsys: pytest.CaptureFixture[str]) -> Rat:
    def run(*words: object) -> dict[str, list[dict[str, object]]]:
        scan = [str(series), "--reference", str(series)]
        assert app.main(["evaluate", *scan, *map(str, words), "--json", "-q"]) == 0
        return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]

    return run


def _drawn(plane: int) -> np.ndarray:
    """Segment 1 on planes 1 and 2, segment 2 on plane 2 alone."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    if plane in (1, 2):
        labels[10:20, 10:20] = 1
    if plane == 2:
        labels[30:50, 30:50] = 2
    return labels


def _seg(path: Path, sources: Sequence[Dataset], labels: np.ndarray) -> Path:
    code = Code("85756007", "SCT", "Tissue")
    kind = highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
    segments = [
        highdicom.seg.SegmentDescription(number, name, code, code, kind)
        for number, name in enumerate(("Liver", "Spleen"), start=1)
    ]
    highdicom.seg.Segmentation(
        source_images=sources, pixel_array=labels, segmentation_type="BINARY",
        segment_descriptions=segments, series_instance_uid=_uid("seg series"), series_number=9,
        sop_instance_uid=_uid("seg"), instance_number=1, manufacturer="x",
        manufacturer_model_name="x", software_versions="x", device_serial_number="x",
        omit_empty_frames=True,
    ).save_as(path)  # fmt: skip
    return path


@pytest.fixture
def seg(series: Path, tmp_path: Path) -> Path:
    sources = [pydicom.dcmread(series / f"{plane}.dcm") for plane in range(PLANES)]
    labels = np.stack([_drawn(plane) for plane in range(PLANES)])
    return _seg(tmp_path / "seg.dcm", sources, labels)


def test_a_seg_on_some_planes_is_found_where_it_lies(series: Path, seg: Path) -> None:
    with open_scan(series) as scan, open_regions(seg, scan) as regions:
        for plane in range(PLANES):
            assert np.array_equal(regions.labels(plane), _drawn(plane)), plane


def test_a_seg_on_one_plane_does_not_serve_the_others(series: Path, tmp_path: Path) -> None:
    source = pydicom.dcmread(series / "2.dcm")
    seg = _seg(tmp_path / "one.dcm", [source], _drawn(2)[None])
    with open_scan(series) as scan, open_regions(seg, scan) as regions:
        assert [int(regions.labels(plane).max()) for plane in range(PLANES)] == [0, 0, 2, 0]


def test_a_seg_between_the_planes_is_refused(series: Path, tmp_path: Path) -> None:
    source = _image(7, _plane(0), 1.5)
    seg = _seg(tmp_path / "between.dcm", [source], _drawn(2)[None])
    with (
        open_scan(series) as scan,
        pytest.raises(UnsuitableInputError, match="at another place than the scan"),
    ):
        open_regions(seg, scan)


def test_segments_are_pooled_over_their_planes_under_their_names(rat: Rat, seg: Path) -> None:
    rows = rat("--regions", seg)["regions"]
    found = {(row["name"], row["plane"]): row["bias"] for row in rows}
    assert set(found) == {
        ("Liver", 1), ("Liver", 2), ("Spleen", 2), ("Liver", None), ("Spleen", None),
    }  # fmt: skip
    # 100 pixels each of 50 and 60 HU, and 400 of 60 HU.
    assert (found["Liver", None]["pixels"], found["Liver", None]["mean"]) == (200, 55.0)
    assert (found["Spleen", None]["pixels"], found["Spleen", None]["mean"]) == (400, 60.0)


def test_the_regions_of_a_partition_are_not_pooled(rat: Rat, series: Path, tmp_path: Path) -> None:
    # Numbered from 1 in each plane: number 1 is another region in the next one.
    made = Derivation("segment", "regions by test", "Regions")
    with (
        open_scan(series) as scan,
        create_regions(scan, tmp_path / "all.dcm", made) as writer,
    ):
        for plane in range(PLANES):
            writer.write(plane, (_drawn(plane) > 0).astype(np.int32))
    rows = rat("--regions", tmp_path / "all.dcm")["regions"]
    assert {row["plane"] for row in rows} == set(range(PLANES))


def test_a_label_map_of_one_plane_is_pooled_over_all(rat: Rat, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "labels.tif", _drawn(2))
    rows = rat("--regions", tmp_path / "labels.tif")["regions"]
    pooled = {row["name"]: row["bias"] for row in rows if row["plane"] is None}
    assert {name: bias["pixels"] for name, bias in pooled.items()} == {
        "region 1": 400,
        "region 2": 1600,
    }


def test_colours_keep_their_numbers_from_plane_to_plane(rat: Rat, tmp_path: Path) -> None:
    pages = np.zeros((PLANES, SIDE, SIDE, 3), np.uint8)
    pages[:2, 10:20, 10:20] = (255, 0, 0)
    pages[1:, 30:40, 30:40] = (0, 0, 255)
    tifffile.imwrite(tmp_path / "colours.tif", pages, photometric="rgb")
    rows = rat("--regions", tmp_path / "colours.tif")["regions"]
    pooled = {row["name"]: row["bias"]["pixels"] for row in rows if row["plane"] is None}
    assert pooled == {"region 1": 200, "region 2": 300}
