from pathlib import Path

import pytest

from ratcli.errors import InputNotFoundError, UnreadableInputError, UsageError
from ratcli.formats import ScanSource, find_scans, open_scan, sniff
from tests.formats.dicom_scans import dicom_dataset, ramp, save_dicom, save_series, shared, uid


def test_a_missing_path_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"none\.dcm does not exist"):
        find_scans(tmp_path / "none.dcm")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"Dear colleague,\nplease find enclosed\n", "a text file"),
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 300, "a PNG image"),
        (b"\x93\x81\x00\xff" * 100, "of an unknown kind"),
    ],
)
def test_a_file_of_another_kind_is_named_by_its_kind(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    path = tmp_path / "scan.dcm"
    path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match=f"scan.dcm is {kind}, not a DICOM"):
        find_scans(path)


def test_dicom_is_known_without_a_suffix(tmp_path: Path) -> None:
    assert sniff(save_dicom(dicom_dataset(ramp()), tmp_path / "IM0001")) == "dicom"


def test_dicom_without_a_preamble_is_known(tmp_path: Path) -> None:
    dataset = dicom_dataset(ramp())
    path = tmp_path / "raw"
    dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert path.read_bytes()[128:132] != b"DICM"
    assert sniff(path) == "dicom"
    assert open_scan(path).info.modality == "CT"


def test_real_dicom_without_a_preamble_is_known() -> None:
    path = shared("ct", "singles", "sloan_prostate_1998_prostate.img.dcm")
    assert open_scan(path).info.unit == "HU"


def test_a_folder_without_scans_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputNotFoundError, match="holds no scan and no picture"):
        find_scans(tmp_path)


def test_files_of_a_series_are_one_source_named_after_the_folder(tmp_path: Path) -> None:
    (source,) = find_scans(save_series(tmp_path / "thorax"))
    assert source.name == "thorax"
    assert source.is_folder
    assert source.suffix == ""
    assert len(source.paths) == 4


def test_two_series_in_a_folder_are_two_sources_with_names_that_differ(tmp_path: Path) -> None:
    save_series(tmp_path, SeriesInstanceUID=uid("one"))
    for path in tmp_path.iterdir():
        path.rename(path.with_name(f"a_{path.name}"))
    save_series(tmp_path, SeriesInstanceUID=uid("two"))
    sources = find_scans(tmp_path)
    names = [source.name for source in sources]
    assert names == [f"{tmp_path.name}_series1", f"{tmp_path.name}_series2"]
    assert [len(source.paths) for source in sources] == [4, 4]


def test_series_uid_picks_one_of_several(tmp_path: Path) -> None:
    save_series(tmp_path / "a", SeriesInstanceUID=uid("one"))
    save_series(tmp_path / "b", SeriesInstanceUID=uid("two"))
    (source,) = find_scans(tmp_path, recursive=True, series_uid=uid("two"))
    assert source.name == "b"
    with pytest.raises(InputNotFoundError, match="no series with that SeriesInstanceUID"):
        find_scans(tmp_path, recursive=True, series_uid="1.2.3")


def test_nested_folders_are_searched_only_when_asked(tmp_path: Path) -> None:
    save_series(tmp_path / "patient" / "ct")
    with pytest.raises(InputNotFoundError) as caught:
        find_scans(tmp_path)
    assert "--recursive" in caught.value.hint
    assert len(find_scans(tmp_path, recursive=True)) == 1


def test_hidden_and_unfinished_files_are_no_scans(tmp_path: Path) -> None:
    save_dicom(dicom_dataset(ramp()), tmp_path / ".out.dcm.0badcafe.rat-partial")
    save_dicom(dicom_dataset(ramp()), tmp_path / "scan.dcm")
    (source,) = find_scans(tmp_path)
    assert source.paths == (tmp_path / "scan.dcm",)


def test_no_name_comes_from_a_tag(tmp_path: Path) -> None:
    evil = "../../../tmp/x"
    save_series(tmp_path / "safe", SeriesInstanceUID=evil, SeriesDescription=evil, PatientID=evil)
    names = {source.name for source in find_scans(tmp_path / "safe")}
    assert names == {"safe"}


def test_a_damaged_file_is_a_source_of_its_own_and_fails_when_opened(tmp_path: Path) -> None:
    save_series(tmp_path)
    whole = (tmp_path / "slice1.dcm").read_bytes()
    (tmp_path / "slice1.dcm").write_bytes(whole[:300])
    damaged, rest = sorted(find_scans(tmp_path), key=lambda source: len(source.paths))
    assert len(rest.paths) == 3
    with pytest.raises(UnreadableInputError, match=r"slice1\.dcm"):
        open_scan(damaged)


def test_plans_and_structures_in_a_folder_are_left_out(tmp_path: Path) -> None:
    save_series(tmp_path)
    plan = dicom_dataset(
        ramp(),
        Modality="RTPLAN",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.481.5",
        SeriesInstanceUID=uid("plan"),
    )
    del plan.PixelData, plan.Rows, plan.Columns
    save_dicom(plan, tmp_path / "plan.dcm")
    assert len(find_scans(tmp_path)) == 1


def test_opening_a_folder_of_several_scans_asks_which(tmp_path: Path) -> None:
    save_series(tmp_path / "a", SeriesInstanceUID=uid("one"), SOPInstanceUID=uid("a"))
    save_dicom(dicom_dataset(ramp(), SeriesInstanceUID=uid("two")), tmp_path / "a" / "other.dcm")
    with pytest.raises(UsageError, match="holds 2 scans"):
        open_scan(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "stem", "suffix"),
    [
        ("scan.dcm", "scan", ".dcm"),
        ("brain.nii.gz", "brain", ".nii.gz"),
        ("1.2.840.113", "1.2.840.113", ".dcm"),
        ("slide.ome.tiff", "slide", ".ome.tiff"),
    ],
)
def test_output_names_keep_the_input_s_suffix(name: str, stem: str, suffix: str) -> None:
    from ratcli.formats import split_name

    assert split_name(Path(name))[0] == stem
    assert ScanSource((Path(name),), "dicom", stem).suffix == suffix


def test_linked_folders_are_searched_once_and_cycles_end(tmp_path: Path) -> None:
    save_series(tmp_path / "elsewhere" / "ct", SeriesInstanceUID=uid("far"))
    study = tmp_path / "study"
    save_series(study / "z", SeriesInstanceUID=uid("near"))
    for name, target in (
        ("a", study / "z"),  # inside: found where it is
        ("link", tmp_path / "elsewhere"),
        ("k", tmp_path / "elsewhere" / "ct"),
        ("link again", tmp_path / "elsewhere" / "ct"),
        ("cycle", study),
        ("above", tmp_path),
    ):
        (study / name).symlink_to(target)
    (tmp_path / "elsewhere" / "back").symlink_to(study)
    found = find_scans(study, recursive=True)
    assert sorted(source.folder for source in found) == [study / "k", study / "z"]
