"""A series with a slice that cannot be read: the others are restored, and the loss is told."""

import json
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from ratcli.cli.app import main
from ratcli.errors import UnreadableInputError
from ratcli.formats import find_scans, open_scan
from tests.formats.dicom_scans import (
    dicom_dataset,
    open_dicom,
    ramp,
    save_dicom,
    save_in,
    save_series,
    uid,
)


def cut(path: Path, bytes_lost: int = 100) -> Path:
    path.write_bytes(path.read_bytes()[:-bytes_lost])
    return path


def compressed_series(folder: Path, syntax: UID = JPEGLSLossless) -> Path:
    save_series(folder)
    for path in folder.iterdir():
        save_in(dcmread(path), path, syntax)
    return folder


def test_a_truncated_slice_stands_apart_and_the_gap_is_told(tmp_path: Path) -> None:
    cut(save_series(tmp_path) / "slice2.dcm")
    sources = {source.name: source for source in find_scans(tmp_path)}
    rest = sources[tmp_path.name]
    assert [path.name for path in rest.paths] == ["slice4.dcm", "slice3.dcm", "slice1.dcm"]
    assert rest.notices == ("1 file of the series cannot be read",)
    assert "1 gap between planes" in open_scan(rest).info.notices[0]
    assert sources["slice2"].is_broken
    with pytest.raises(UnreadableInputError, match=r"slice2\.dcm: the pixel data end early"):
        open_scan(sources["slice2"])


def test_a_compressed_slice_that_ends_early_stands_apart(tmp_path: Path) -> None:
    cut(compressed_series(tmp_path) / "slice2.dcm")
    assert sorted(len(source.paths) for source in find_scans(tmp_path)) == [1, 3]


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_a_frame_that_was_cut_before_it_was_wrapped_stands_apart(
    tmp_path: Path, syntax: UID
) -> None:
    path = compressed_series(tmp_path, syntax) / "slice2.dcm"
    dataset = dcmread(path)
    [frame] = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    dataset.save_as(path)
    rest, broken = sorted(find_scans(tmp_path), key=lambda source: source.is_broken)
    assert (len(rest.paths), broken.name) == (3, "slice2")
    with pytest.raises(UnreadableInputError, match=r"slice2\.dcm: the compressed pixel data end"):
        open_scan(broken)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_a_compressed_series_that_is_whole_has_no_broken_slice(tmp_path: Path, syntax: UID) -> None:
    [series] = find_scans(compressed_series(tmp_path, syntax))
    assert (len(series.paths), series.notices) == (4, ())


def test_a_slice_without_pixels_stands_apart(tmp_path: Path) -> None:
    dataset = dcmread(save_series(tmp_path) / "slice2.dcm")
    del dataset.PixelData
    dataset.save_as(tmp_path / "slice2.dcm")
    rest = max(find_scans(tmp_path), key=lambda source: len(source.paths))
    assert rest.notices == ("1 file of the series cannot be read",)


def test_a_slice_cut_off_within_its_header_is_not_lost_in_silence(tmp_path: Path) -> None:
    path = save_series(tmp_path) / "slice2.dcm"
    path.write_bytes(path.read_bytes().partition(b"\x28\x00\x10\x00")[0])
    assert "Rows" not in dcmread(path)
    rest, broken = sorted(find_scans(tmp_path), key=lambda source: source.is_broken)
    assert rest.notices == ("1 file of the series cannot be read",)
    assert (broken.name, broken.is_broken) == ("slice2", True)


def test_a_series_opened_alone_names_its_broken_slice(tmp_path: Path) -> None:
    cut(save_series(tmp_path) / "slice2.dcm")
    with pytest.raises(UnreadableInputError, match=r"slice2\.dcm: the pixel data end early"):
        open_scan(tmp_path)


def test_a_broken_slice_is_told_where_its_series_is_picked(tmp_path: Path) -> None:
    cut(save_series(tmp_path) / "slice2.dcm")
    other = dicom_dataset(ramp(), SOPInstanceUID=uid("o"), SeriesInstanceUID=uid("other"))
    save_dicom(other, tmp_path / "other.dcm")
    found = find_scans(tmp_path, series_uid=uid("series"))
    assert sorted(source.is_broken for source in found) == [False, True]


def test_a_file_whose_header_is_broken_is_told_where_a_series_is_picked(tmp_path: Path) -> None:
    (save_series(tmp_path) / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 60)
    found = find_scans(tmp_path, series_uid=uid("series"))
    assert [source.name for source in found if source.is_broken] == ["broken"]


def test_a_slice_that_does_not_decode_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = compressed_series(tmp_path) / "slice2.dcm"
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xd8\xff\xf7")  # the frame's own header
    content[start + 6] ^= 1
    path.write_bytes(content)
    reader = open_dicom(tmp_path)
    with pytest.raises(UnreadableInputError, match=r"slice2\.dcm: the pixel data") as caught:
        reader.read(2)
    assert caught.value.hint.startswith("Take it out of the series")


def test_the_readable_slices_are_restored_and_the_exit_code_tells(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(save_series(tmp_path / "in") / "slice2.dcm")
    command = ["restore", str(tmp_path / "in"), "-t", "ct-denoise", "-o", str(tmp_path / "out")]
    assert main([*command, "--json", "--threads", "1", "--partition", "none"]) == 8
    told = capsys.readouterr()
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.dcm"))
    assert names == ["slice1.dcm", "slice3.dcm", "slice4.dcm"]
    assert "slice2.dcm: the pixel data end early" in told.err
    assert "Doe" not in told.err + told.out
    outcomes = [json.loads(line) for line in told.out.splitlines()]
    assert sorted(outcome["status"] for outcome in outcomes) == ["done", "failed"]


def test_a_series_of_broken_slices_alone_gives_no_output(tmp_path: Path) -> None:
    for path in save_series(tmp_path / "in").iterdir():
        cut(path)
    assert all(source.is_broken for source in find_scans(tmp_path / "in"))
