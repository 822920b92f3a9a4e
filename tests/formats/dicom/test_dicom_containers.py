import zipfile
from pathlib import Path

import numpy as np
import pytest

from ratcli.errors import OutputError, UnreadableInputError
from ratcli.formats import create_scan, find_scans, open_scan
from ratcli.scan import Derivation
from tests.formats.dicom_scans import (
    open_dicom,
    restore,
    save_directory,
    save_series,
    stored,
    uid,
)


def zipped(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(folder.iterdir()):
            target.write(path, f"{prefix}{path.name}")
    return archive


def test_a_zipped_series_is_read_without_unpacking(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "in")
    archive = zipped(folder, tmp_path / "thorax.zip")
    (source,) = find_scans(archive)
    assert source.name == "thorax"
    assert source.files == (archive,)
    assert np.array_equal(stored(archive), stored(folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "thorax.zip"]


def test_a_zipped_series_is_written_as_a_folder(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "in")
    archive = zipped(folder, tmp_path / "thorax.zip", "ct/")
    out = restore(find_scans(archive)[0], tmp_path / "out")
    assert np.array_equal(stored(out), stored(folder))


def test_several_series_in_one_archive_are_several_sources(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_series(tmp_path / "in" / name, SeriesInstanceUID=uid(name))
    archive = tmp_path / "both.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted((tmp_path / "in").rglob("*.dcm")):
            target.write(path, path.relative_to(tmp_path / "in").as_posix())
    assert [source.name for source in find_scans(archive)] == ["a", "b"]
    assert len(find_scans(archive, series_uid=uid("b"))) == 1


def test_an_archive_without_dicom_says_what_it_is(tmp_path: Path) -> None:
    archive = tmp_path / "notes.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("notes.txt", "nothing")
    with pytest.raises(UnreadableInputError, match=r"notes\.zip is a zip archive, not a DICOM"):
        find_scans(archive)


def test_members_whose_names_lead_out_of_the_archive_are_ignored(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "in", count=1)
    data = (folder / "slice1.dcm").read_bytes()
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for name in ("../up.dcm", "/etc/root.dcm", "C:/x.dcm", "a/../../b.dcm", "good.dcm"):
            target.writestr(name, data)
    (source,) = find_scans(archive)
    assert source.paths == (archive / "good.dcm",)


def test_an_archive_is_not_replaced_by_what_was_made_of_it(tmp_path: Path) -> None:
    archive = zipped(save_series(tmp_path / "in"), tmp_path / "thorax.zip")
    derivation = Derivation("ct-denoise", "test", "test")
    with open_scan(archive) as reader, pytest.raises(OutputError, match="is the input itself"):
        create_scan(reader, archive, derivation, overwrite=True)


def test_a_dicomdir_leads_to_the_files_it_lists(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "cd" / "IMAGES")
    names = [["IMAGES", path.name] for path in folder.iterdir()]
    directory = save_directory(tmp_path / "cd", [*names, ["IMAGES", "missing.dcm"]])
    (source,) = find_scans(directory)
    assert len(source.paths) == 4
    assert source.name == "IMAGES"
    assert np.array_equal(stored(tmp_path / "cd"), stored(folder))


def test_a_dicomdir_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    save_series(tmp_path / "outside", count=1)
    save_series(tmp_path / "cd", count=2)
    listed = [["slice1.dcm"], ["slice2.dcm"], ["..", "outside", "slice1.dcm"]]
    (source,) = find_scans(save_directory(tmp_path / "cd", listed))
    assert [path.name for path in source.paths] == ["slice2.dcm", "slice1.dcm"]


def test_a_damaged_archive_in_a_folder_does_not_hide_the_rest(tmp_path: Path) -> None:
    save_series(tmp_path)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + b"\0" * 200)
    assert open_dicom(tmp_path).info.planes == 4


@pytest.mark.parametrize("others", [64, 200])
def test_a_series_behind_many_other_files_of_an_archive_is_found(tmp_path: Path, others) -> None:
    archive = zipped(save_series(tmp_path / "in"), tmp_path / "thorax.zip", "z/")
    with zipfile.ZipFile(archive, "a") as target:
        for number in range(others):
            target.writestr(f"a/{number}", "nothing")
    assert np.array_equal(stored(archive), stored(tmp_path / "in"))


@pytest.mark.parametrize("prefix", ["CT\\thorax\\", "CT/thorax\\", ".\\"])
def test_names_with_backslashes_in_an_archive_are_folders(tmp_path: Path, prefix: str) -> None:
    archive = zipped(save_series(tmp_path / "in"), tmp_path / "thorax.zip", prefix)
    (source,) = find_scans(archive)
    names = sorted(path.name for path in (tmp_path / "in").iterdir())
    assert sorted(path.name for path in source.paths) == names
    out = restore(source, tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == names
    assert np.array_equal(stored(out), stored(tmp_path / "in"))


@pytest.mark.parametrize("prefix", ["..\\", "a\\..\\..\\", "\\", "C:\\"])
def test_a_backslash_does_not_lead_out_of_an_archive(tmp_path: Path, prefix: str) -> None:
    archive = zipped(save_series(tmp_path / "in"), tmp_path / "evil.zip", prefix)
    with pytest.raises(UnreadableInputError, match="is a zip archive, not a DICOM"):
        find_scans(archive)


@pytest.mark.parametrize("name", ["dicomdir", "DICOMDIR;1", "DICOMDIR."])
def test_a_directory_file_is_known_as_disks_spell_it(tmp_path: Path, name: str) -> None:
    save_series(tmp_path / "cd" / "IMAGES")
    listed = [("IMAGES", "slice2.dcm"), ("IMAGES", "slice1.dcm")]
    directory = save_directory(tmp_path / "cd", listed)
    (source,) = find_scans(directory.rename(directory.with_name(name)))
    assert sorted(path.name for path in source.paths) == ["slice1.dcm", "slice2.dcm"]
