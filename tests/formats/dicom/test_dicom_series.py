from pathlib import Path

import numpy as np
import pytest

from ratcli.errors import UnreadableInputError
from ratcli.formats import ScanSource, find_scans, open_scan
from tests.formats.dicom_scans import (
    dicom_dataset,
    open_dicom,
    ramp,
    restore,
    save_dicom,
    save_series,
    set_elements,
    shared,
    uid,
)


def save_at(folder: Path, positions: list[tuple[float, float, float]]) -> Path:
    for number, position in enumerate(positions):
        dataset = dicom_dataset(
            ramp() + number,
            SOPInstanceUID=uid("at", number),
            InstanceNumber=number + 1,
            ImagePositionPatient=[f"{value:g}" for value in position],
        )
        save_dicom(dataset, folder / f"{number}.dcm")
    return folder


def notices(folder: Path) -> str:
    (source,) = find_scans(folder)
    return "; ".join((*source.notices, *open_scan(source).info.notices))


def test_planes_follow_their_position_and_not_the_file_name(tmp_path: Path) -> None:
    reader = open_dicom(save_series(tmp_path))
    heights = [float(plane.geometry.position[2]) for plane in reader.planes]
    assert heights == [0, 2.5, 5, 7.5]
    assert [reader.read(plane)[0, 0, 0] for plane in range(4)] == [-2024, -2023, -2022, -2021]


def test_positions_along_the_normal_are_told_in_the_order_of_the_planes(tmp_path: Path) -> None:
    series = save_series(tmp_path / "ct", 3, step=2.5)
    assert open_dicom(series).info.positions_mm == (0.0, 2.5, 5.0)


def test_without_a_position_of_each_plane_there_are_none(tmp_path: Path) -> None:
    series = save_series(tmp_path / "ct", 3, ImagePositionPatient=None)
    assert open_dicom(series).info.positions_mm is None


def test_an_even_series_has_its_spacing_and_no_notice(tmp_path: Path) -> None:
    info = open_dicom(save_series(tmp_path)).info
    assert info.spacing_mm == (2.5, 0.7, 0.5)
    assert info.notices == ()


def test_oblique_planes_follow_their_normal(tmp_path: Path) -> None:
    for number in range(3):
        dataset = dicom_dataset(
            ramp(),
            SOPInstanceUID=uid("coronal", number),
            ImageOrientationPatient=["1", "0", "0", "0", "0", "-1"],
            ImagePositionPatient=["0", f"{3 * number}", "0"],
        )
        save_dicom(dataset, tmp_path / f"{3 - number}.dcm")
    reader = open_dicom(tmp_path)
    assert [plane.geometry.position[1] for plane in reader.planes] == [0, 3, 6]
    assert reader.info.spacing_mm[0] == 3


def test_a_gap_is_told(tmp_path: Path) -> None:
    folder = save_at(tmp_path, [(0, 0, z) for z in (0, 2, 4, 10, 12)])
    assert "1 gap between planes: up to 6.00 mm where 2.00 mm is usual" in notices(folder)


def test_a_real_gap_is_told() -> None:
    assert "1 gap between planes" in notices(shared("formats", "dicom", "missing_slices"))


def test_uneven_spacing_is_told(tmp_path: Path) -> None:
    folder = save_at(tmp_path, [(0, 0, z) for z in (0, 2, 4.3, 6.3)])
    assert "unevenly spaced: 2.00 to 2.30 mm" in notices(folder)


def test_two_planes_at_one_position_are_told_and_both_kept(tmp_path: Path) -> None:
    folder = save_at(tmp_path, [(0, 0, z) for z in (0, 2, 2, 4)])
    assert "1 plane lies at the position of another" in notices(folder)
    assert open_dicom(folder).info.planes == 4


def test_gantry_tilt_is_told(tmp_path: Path) -> None:
    folder = save_at(tmp_path, [(0, 0.5 * z, z) for z in (0, 2, 4)])
    assert "sheared by 26.6 degrees (gantry tilt)" in notices(folder)


def test_a_copy_of_a_file_is_left_out_and_told(tmp_path: Path) -> None:
    save_series(tmp_path)
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "slice1.dcm").read_bytes())
    [source] = find_scans(tmp_path)
    assert [(file.path.name, file.reason) for file in source.left_out] == [
        ("slice1.dcm", "slice1.dcm is a copy of copy.dcm and was left out")
    ]
    assert open_dicom(tmp_path).info.planes == 4


def test_images_of_other_sizes_are_kept_apart_and_told(tmp_path: Path) -> None:
    save_series(tmp_path)
    for number in range(2):
        dataset = dicom_dataset(ramp(8, 8), SOPInstanceUID=uid("small", number))
        set_elements(dataset, SeriesInstanceUID=uid("series"), InstanceNumber=10 + number)
        save_dicom(dataset, tmp_path / f"small{number}.dcm")
    sources = find_scans(tmp_path)
    assert sorted(len(source.paths) for source in sources) == [2, 4]
    for source in sources:
        assert "images of 2 sizes or directions" in source.notices[0]
        restore(source, tmp_path / "out" / source.name)


def test_planes_without_positions_follow_their_numbers(tmp_path: Path) -> None:
    save_series(tmp_path)
    for path in tmp_path.iterdir():
        import pydicom

        dataset = pydicom.dcmread(path)
        del dataset.ImagePositionPatient
        dataset.save_as(path)
    reader = open_dicom(tmp_path)
    assert [reader.read(plane)[0, 0, 0] for plane in range(4)] == [-2024, -2023, -2022, -2021]
    assert "planes have no positions, so they are sorted by their numbers" in reader.info.notices[0]


def test_a_series_whose_identifiers_were_blanked_is_still_one(tmp_path: Path) -> None:
    save_series(tmp_path, SOPClassUID="", SOPInstanceUID="", SeriesInstanceUID="")
    assert open_dicom(tmp_path).info.planes == 4


def test_files_that_do_not_match_are_refused_when_opened_together(tmp_path: Path) -> None:
    one = save_dicom(dicom_dataset(ramp()), tmp_path / "one.dcm")
    two = save_dicom(dicom_dataset(ramp(8, 8)), tmp_path / "two.dcm")
    with pytest.raises(UnreadableInputError, match=r"two\.dcm has 8 x 8 pixels"):
        open_scan(ScanSource((one, two), "dicom", "both"))


def test_a_restored_series_reads_back_in_the_same_order(tmp_path: Path) -> None:
    source = save_series(tmp_path / "in")
    out = restore(source, tmp_path / "out", lambda hu: hu + 3)
    before, after = open_dicom(source), open_dicom(out)
    for plane in range(4):
        assert np.array_equal(after.read(plane), before.read(plane) + 3)
        assert after.planes[plane].geometry == before.planes[plane].geometry
