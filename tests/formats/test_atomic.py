import os
from pathlib import Path

import pytest

from ratcli.errors import OutputError
from ratcli.formats.atomic import (
    PARTIAL_SUFFIX,
    PartialFile,
    PartialFolder,
    hidden_stem,
    output_errors,
)


def test_a_file_stands_under_its_name_only_after_commit(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "scan.dcm"
    partial = PartialFile(final)
    partial.path.write_bytes(b"half")
    assert not final.exists()
    partial.commit()
    assert final.read_bytes() == b"half"
    assert list(final.parent.iterdir()) == [final]


def test_discarding_leaves_nothing(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "scan.dcm")
    partial.path.write_bytes(b"half")
    assert partial.path.name.startswith(".")
    assert partial.path.name.endswith(PARTIAL_SUFFIX)
    partial.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"scan\.dcm already exists"):
        PartialFile(tmp_path / "scan.dcm")


def test_a_name_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    final = tmp_path / "scan.dcm"
    partial = PartialFile(final)
    partial.path.write_bytes(b"new")
    final.write_bytes(b"old")
    with pytest.raises(OutputError):
        partial.commit()
    assert final.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [final]


def test_overwriting_replaces_when_it_is_allowed(tmp_path: Path) -> None:
    final = tmp_path / "scan.dcm"
    final.write_bytes(b"old")
    partial = PartialFile(final, overwrite=True)
    partial.path.write_bytes(b"new")
    partial.commit()
    assert final.read_bytes() == b"new"


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    final = tmp_path / "series"
    final.mkdir()
    (final / "stale.dcm").write_bytes(b"old")
    partial = PartialFolder(final, overwrite=True)
    (partial.path / "fresh.dcm").write_bytes(b"new")
    partial.commit()
    assert [path.name for path in final.iterdir()] == ["fresh.dcm"]
    assert list(tmp_path.iterdir()) == [final]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        PartialFile(tmp_path / "file" / "scan.dcm")


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="no space left on device"),
        output_errors(tmp_path / "scan.dcm"),
    ):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("letter", ["a", "漢", "é", os.fsdecode(b"\xe9")])
def test_hidden_names_fit_the_disk_and_differ(letter: str) -> None:
    count = 240 // len(os.fsencode(letter))
    stems = {hidden_stem(Path(letter * count + end)) for end in ("1", "2", ".nii", "")}
    assert len(stems) == 4
    assert max(len(os.fsencode(stem)) for stem in stems) <= 201


def test_a_hidden_name_of_a_short_one_is_that_name() -> None:
    assert hidden_stem(Path("out/scan.nii.gz")) == ".scan.nii.gz"
