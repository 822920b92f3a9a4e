"""Files that belong to a series and are not restored are named, and the rest is restored."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ratcli.batch.found import find_inputs
from ratcli.cli.app import main
from ratcli.errors import UnreadableInputError
from ratcli.formats import find_scans, open_scan
from ratcli.formats.dicom import series as series_module
from tests.formats.dicom_scans import (
    dicom_dataset,
    ramp,
    restore,
    save_dicom,
    save_directory,
    save_series,
    set_elements,
    uid,
)

HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
DAMAGED = {"empty": b"", "zeros": bytes(4000), "html": HTML, "head": None}


def spoil(path: Path, content: bytes | None) -> Path:
    """Replace a file; None leaves its first 100 bytes."""
    path.write_bytes(path.read_bytes()[:100] if content is None else content)
    return path


def save_named(folder: Path, names: list[str]) -> Path:
    """Write a series whose files have these names."""
    save_series(folder, len(names))
    for old, new in zip(sorted(folder.iterdir()), names, strict=True):
        old.rename(folder / new)
    return folder


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("pattern", ["slice{}.dcm", "IM{:04}", "1.2.840.10{}.3", "scan{}.IMA"])
def test_a_slice_that_is_no_dicom_is_named_and_the_series_tells(
    tmp_path: Path, content: bytes | None, pattern: str
) -> None:
    names = [pattern.format(number) for number in range(5)]
    spoil(save_named(tmp_path / "CT", names) / names[2], content)
    broken, rest = sorted(find_scans(tmp_path / "CT"), key=lambda source: not source.is_broken)
    assert len(rest.paths) == 4
    assert rest.notices == ("1 file in the folder of the series cannot be read",)
    with pytest.raises(UnreadableInputError, match="not a DICOM file") as caught:
        open_scan(broken)
    assert str(caught.value).startswith(names[2])


QUIET = (
    "README readme1 Thumbs.db notes1.txt IM0001.xml IM0001.json report.pdf slice1.jpg slice2.png"
    " DICOMDIR ._slice1.dcm .DS_Store VERSION viewer.exe"
)


@pytest.mark.parametrize("name", QUIET.split())
def test_a_file_that_clearly_is_something_else_stays_quiet(tmp_path: Path, name: str) -> None:
    save_series(tmp_path)
    (tmp_path / name).write_bytes(HTML)
    [series] = find_scans(tmp_path)
    assert (len(series.paths), series.notices) == (4, ())


def test_a_slice_that_is_no_dicom_ends_the_run_with_code_8(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(save_series(tmp_path / "in", 5) / "slice3.dcm", HTML)
    command = ["restore", str(tmp_path / "in"), "-t", "ct-denoise", "-o", str(tmp_path / "out")]
    assert main([*command, "--json", "--threads", "1", "--partition", "none"]) == 8
    told = capsys.readouterr()
    assert "slice3.dcm is a text file, not a DICOM file" in told.err
    assert told.err.count("1 gap between planes: up to 5.00 mm where 2.50 mm is usual") == 1
    done = next(line for line in map(json.loads, told.out.splitlines()) if line["status"] == "done")
    assert any("1 gap between planes" in notice for notice in done["notices"])
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 4


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (save_series(tmp_path) / "slice5.dcm").symlink_to(tmp_path / "gone.dcm")
    [broken] = [source for source in find_scans(tmp_path) if source.is_broken]
    with pytest.raises(UnreadableInputError, match=r"slice5\.dcm cannot be read: no such file"):
        open_scan(broken)


@pytest.mark.parametrize("name", ["slice2.dcm", "other.nii"])
def test_a_file_that_may_not_be_read_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (save_series(tmp_path) / "other.nii").write_bytes(b"")
    read = Path.open

    def refuse(path: Path, *args: object, **more: object) -> object:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    broken = next(source for source in find_scans(tmp_path) if source.paths[0].name == name)
    assert broken.is_broken
    with pytest.raises(UnreadableInputError, match="cannot be read: permission denied"):
        open_scan(broken)


def test_a_header_that_ends_the_parser_stops_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_series(tmp_path)
    read = series_module.series_file

    def fail(file: object) -> object:
        if getattr(file, "path").name == "slice2.dcm":  # noqa: B009
            raise struct_error
        return read(file)  # type: ignore[arg-type]

    struct_error = ValueError("bytes length not a multiple of item size")
    monkeypatch.setattr(series_module, "series_file", fail)
    assert sorted(len(source.paths) for source in find_scans(tmp_path)) == [1, 3]


def test_a_number_of_three_bytes_stops_no_other_file(tmp_path: Path) -> None:
    path = save_series(tmp_path) / "slice2.dcm"
    content = path.read_bytes()
    start = content.index(b"\x20\x00\x13\x00IS")
    length = int.from_bytes(content[start + 6 : start + 8], "little")
    odd = b"\x20\x00\x13\x00US\x03\x00abc"
    path.write_bytes(content[:start] + odd + content[start + 8 + length :])
    assert max(len(source.paths) for source in find_scans(tmp_path)) >= 3


def test_copies_of_one_name_in_two_folders_are_told_with_their_folders(tmp_path: Path) -> None:
    folder = save_named(tmp_path / "in" / "a", ["scan.dcm"]).parent
    (folder / "b").mkdir()
    (folder / "b" / "scan.dcm").write_bytes((folder / "a" / "scan.dcm").read_bytes())
    [source] = find_scans(folder, recursive=True)
    reason = "b/scan.dcm is a copy of a/scan.dcm and was left out"
    assert [file.reason for file in source.left_out] == [reason]


def test_a_file_without_a_suffix_is_told_by_its_own_name(tmp_path: Path) -> None:
    spoil(save_named(tmp_path, ["IM0001", "IM0002"]) / "IM0002", b"notes")
    found, _ = find_inputs([tmp_path])
    assert {scan.name for scan in found} == {"IM0002", "IM0001.dcm"}


def test_the_shorter_name_stays_and_the_copy_is_told(tmp_path: Path) -> None:
    folder = save_named(tmp_path, ["scan.dcm"])
    (folder / "scan (1).dcm").write_bytes((folder / "scan.dcm").read_bytes())
    [source] = find_scans(folder)
    assert source.name == "scan"
    assert [file.reason for file in source.left_out] == [
        "scan (1).dcm is a copy of scan.dcm and was left out"
    ]


def test_the_file_stays_and_a_link_to_it_is_told(tmp_path: Path) -> None:
    folder = save_named(tmp_path, ["scan.dcm"])
    (folder / "a.dcm").symlink_to(folder / "scan.dcm")
    [source] = find_scans(folder)
    assert (source.name, source.notices) == ("scan", ("a.dcm is a link to scan.dcm",))


def save_frames(path: Path, last: int = 0) -> Path:
    """Write one file of three frames; the last one is filled with a number."""
    frames = np.stack([ramp(), ramp() + 1, np.full_like(ramp(), last)])
    dataset = dicom_dataset(frames[0], NumberOfFrames="3")
    dataset.PixelData = frames.astype("<i2").tobytes()
    return save_dicom(dataset, path)


def test_copies_of_a_file_of_many_frames_are_told(tmp_path: Path) -> None:
    for name in ("scan.dcm", "scan (1).dcm", "other/scan (2).dcm"):
        save_frames(tmp_path / name)
    [source] = find_scans(tmp_path, recursive=True)
    assert (source.name, source.is_folder) == ("scan", False)
    assert [file.reason for file in source.left_out] == [
        "other/scan (2).dcm is a copy of scan.dcm and was left out",
        "scan (1).dcm is a copy of scan.dcm and was left out",
    ]


def test_files_of_many_frames_that_differ_in_the_last_one_are_no_copies(tmp_path: Path) -> None:
    save_frames(tmp_path / "a.dcm")
    save_frames(tmp_path / "b.dcm", last=1)
    found = find_scans(tmp_path)
    assert [(source.name, source.is_folder, source.left_out) for source in found] == [
        ("a", False, ()),
        ("b", False, ()),
    ]
    assert "2 files have the same SOPInstanceUID" in found[0].notices[0]


def test_members_of_an_archive_that_are_no_dicom_are_told(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_series(tmp_path / "in", 3)
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"ct/{path.name}")
        for name, content in (("page.dcm", b"<html>"), ("empty.dcm", b""), ("readme.txt", b"hi")):
            archive.writestr(f"ct/{name}", content)
    command = ["restore", str(tmp_path / "scan.zip"), "-o", str(tmp_path / "out")]
    assert main([*command, "--threads", "1", "--partition", "none"]) == 8
    told = capsys.readouterr().err
    assert "page.dcm is not a DICOM file, although its name says so" in told
    assert "empty.dcm is not a DICOM file, although its name says so" in told
    assert "readme" not in told
    assert len(list((tmp_path / "out").rglob("slice*.dcm"))) == 3


def test_images_of_one_position_whose_pixels_differ_are_all_kept(tmp_path: Path) -> None:
    for number in range(8):
        dataset = dicom_dataset(np.full((6, 6), number), SOPInstanceUID=uid("place", number // 2))
        place = ["0", "0", str(number // 2)]
        set_elements(dataset, ImagePositionPatient=place, InstanceNumber=number // 2)
        save_dicom(dataset, tmp_path / f"{number}.dcm")
    [source] = find_scans(tmp_path)
    assert (len(source.paths), source.left_out) == (8, ())
    assert "2 files have the same SOPInstanceUID, although their images differ" in source.notices


def test_seven_images_of_one_identifier_are_kept_and_told(tmp_path: Path) -> None:
    for number in range(7):
        dataset = dicom_dataset(np.full((6, 6), number), ImagePositionPatient=None)
        save_dicom(dataset, tmp_path / f"{number}.dcm")
    [source] = find_scans(tmp_path)
    assert len(source.paths) == 7
    assert "7 files have the same SOPInstanceUID, although their images differ" in source.notices


def test_images_of_one_identifier_get_an_identifier_each(tmp_path: Path) -> None:
    for number in range(3):
        save_dicom(dicom_dataset(np.full((6, 6), number)), tmp_path / "in" / f"{number}.dcm")
    out = restore(find_scans(tmp_path / "in")[0], tmp_path / "out")
    assert len({dcmread(path).SOPInstanceUID for path in out.iterdir()}) == 3
    assert len({dcmread(path).SeriesInstanceUID for path in out.iterdir()}) == 1


def test_sequences_nested_without_end_stop_no_other_file(tmp_path: Path) -> None:
    path = save_series(tmp_path) / "slice2.dcm"
    content = path.read_bytes()
    start = content.index(b"\x20\x00\x13\x00IS")
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    nested = (b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + item) * 5000
    path.write_bytes(content[:start] + nested)
    assert max(len(source.paths) for source in find_scans(tmp_path)) == 3


def test_a_copy_ends_the_run_with_code_8_and_is_in_the_manifest(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_series(tmp_path / "in", 3)
    (folder / "slice1 (1).dcm").write_bytes((folder / "slice1.dcm").read_bytes())
    manifest = tmp_path / "batch.json"
    command = ["restore", str(folder), "-t", "ct-denoise", "-o", str(tmp_path / "out")]
    command += ["--manifest", str(manifest), "--threads", "1", "--partition", "none"]
    assert main(command) == 8
    reason = "slice1 (1).dcm is a copy of slice1.dcm and was left out"
    assert capsys.readouterr().err.count(reason) == 1
    records = {record["name"]: record for record in json.loads(manifest.read_text())["files"]}
    assert records["slice1 (1).dcm"]["error"] == reason
    assert records["in"]["status"] == "done"
    assert main([*command, "--resume"]) == 8
    assert main([*command, "--resume", "--if-exists", "skip"]) == 8


def test_a_file_that_a_dicomdir_lists_in_vain_is_told(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_series(tmp_path / "cd" / "IMAGES", 3)
    names = ["slice1.dcm", "SLICE2.DCM;1", "SLICE3", "slice4.dcm"]
    directory = save_directory(tmp_path / "cd", [["IMAGES", name] for name in names])
    [source] = find_scans(directory)
    assert len(source.paths) == 3
    assert [file.reason for file in source.left_out] == [
        "slice4.dcm is listed in the DICOMDIR but does not exist"
    ]
    out = ["-o", str(tmp_path / "out"), "--threads", "1", "--partition", "none"]
    assert main(["restore", str(directory), "-t", "ct-denoise", *out]) == 8
    assert "slice4.dcm is listed in the DICOMDIR" in capsys.readouterr().err


@pytest.mark.parametrize("jitter", [2e-7, 2e-6])
@pytest.mark.parametrize("start", [0.005, 0.015, 0.70710678])
def test_directions_that_differ_by_rounding_stay_one_series(
    tmp_path: Path, jitter: float, start: float
) -> None:
    for number in range(6):
        tilt = start + (jitter if number % 2 else -jitter)
        along = [f"{(1 - tilt**2) ** 0.5:.9f}", f"{tilt:.9f}", "0", f"{-tilt:.9f}"]
        along += [f"{(1 - tilt**2) ** 0.5:.9f}", "0"]
        dataset = dicom_dataset(np.full((6, 6), number), SOPInstanceUID=uid("jitter", number))
        set_elements(dataset, ImageOrientationPatient=along, InstanceNumber=number)
        set_elements(dataset, ImagePositionPatient=["-250", "-250", str(2 * number)])
        save_dicom(dataset, tmp_path / f"{number}.dcm")
    [source] = find_scans(tmp_path)
    assert [path.name for path in source.paths] == [f"{number}.dcm" for number in range(6)]
    assert source.notices == ()


def test_phases_stay_in_their_order_where_positions_differ_by_rounding(tmp_path: Path) -> None:
    for number in range(8):
        level, phase = divmod(number, 2)
        place = 2.0005 * level + (1e-6 if (phase + level) % 2 else -1e-6)
        dataset = dicom_dataset(np.full((6, 6), number), SOPInstanceUID=uid("phase", number))
        set_elements(dataset, ImagePositionPatient=["0", "0", f"{place:.7f}"], InstanceNumber=phase)
        save_dicom(dataset, tmp_path / f"{number}.dcm")
    [source] = find_scans(tmp_path)
    assert [path.name for path in source.paths] == [f"{number}.dcm" for number in range(8)]


def test_identifiers_with_letters_keep_series_together_and_apart(tmp_path: Path) -> None:
    for letter in "ab":
        for number in range(3):
            dataset = dicom_dataset(np.full((6, 6), number), SOPInstanceUID=uid(letter, number))
            place = ["0", "0", str(number)]
            set_elements(dataset, SeriesInstanceUID=f"ANON-{letter}", ImagePositionPatient=place)
            save_dicom(dataset, tmp_path / f"{letter}{number}.dcm")
    assert [len(source.paths) for source in find_scans(tmp_path)] == [3, 3]
    [picked] = find_scans(tmp_path, series_uid="ANON-b")
    assert picked.paths[0].name == "b0.dcm"


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_patients_and_studies_that_share_a_series_identifier_are_apart(
    tmp_path: Path, keyword: str
) -> None:
    for person in ("1.1", "1.2"):
        save_series(tmp_path / person, 3, **{keyword: person})
    sources = find_scans(tmp_path, recursive=True)
    assert [len(source.paths) for source in sources] == [3, 3]
    assert {dcmread(source.paths[0])[keyword].value for source in sources} == {"1.1", "1.2"}
