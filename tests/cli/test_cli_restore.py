"""`rat restore` as users meet it, with weights of random numbers."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile

from ratcli.cli.app import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Output = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A small DICOM slice: the example, cut to 64 x 64."""
    return cut_example(tmp_path / "scan.dcm")


def cut_example(path: Path, modality: str = "CT") -> Path:
    image = pydicom.dcmread(EXAMPLES / "ct_phantom.dcm")
    image.PixelData = image.pixel_array[96:160, 96:160].tobytes()
    image.Rows = image.Columns = 64
    image.Modality = modality
    image.SOPInstanceUID = image.SeriesInstanceUID = pydicom.uid.generate_uid(
        entropy_srcs=[path.name]
    )
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.save_as(path, enforce_file_format=True)
    return path


def restore(*words: object) -> int:
    return main(["restore", *map(str, words), "--threads", "1"])


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_restored_scan_stands_beside_its_input(scan: Path, capsys: Output) -> None:
    before = scan.read_bytes()
    assert restore(scan, "--task", "ct-denoise") == 0
    assert names(scan.parent) == ["scan.dcm", "scan_ct-denoise.dcm"]
    assert scan.read_bytes() == before
    told = capsys.readouterr()
    assert told.out == ""
    assert "scan.dcm -> scan_ct-denoise.dcm (1 plane" in told.err


def test_tiles_of_64_pixels_need_no_other_option_and_change_rounding_alone(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 100, (100, 90)).astype(np.float32)
    tifffile.imwrite(tmp_path / "scan.tif", values)
    found = []
    for tile in ("0", "64"):
        out = tmp_path / f"{tile}.tif"
        words = ("-t", "ct-denoise", "--unit", "HU", "--tile", tile, "-o", out)
        assert restore(tmp_path / "scan.tif", *words, "--precision", "fp32") == 0
        found.append(tifffile.imread(out))
    assert np.abs(found[0] - found[1]).max() < 0.01


def test_an_option_is_not_taken_for_a_path(
    scan: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scan.parent)
    assert restore(scan, "-t", "ct-denoise", "--report", "-o", "out") == 2
    assert "a path is missing before -o" in capsys.readouterr().err
    assert names(scan.parent) == ["scan.dcm"]


def test_strength_0_gives_the_input_back(scan: Path) -> None:
    assert restore(scan, "-t", "ct-denoise", "--strength", 0, "-o", scan.parent / "o.dcm") == 0
    before, after = pydicom.dcmread(scan), pydicom.dcmread(scan.parent / "o.dcm")
    assert after.SOPInstanceUID != before.SOPInstanceUID
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)


def test_a_series_comes_out_as_a_series(tmp_path: Path) -> None:
    assert restore(EXAMPLES / "ct_series", "-t", "ct-denoise", "-o", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["ct_series", *[f"ct_series/slice_0{n}.dcm" for n in "1234"]]


def test_a_residual_is_what_was_removed(tmp_path: Path) -> None:
    source = tmp_path / "scan.tif"
    values = np.random.default_rng(0).normal(0, 100, (48, 48)).astype(np.float32)
    values[0, 0] = -900
    tifffile.imwrite(source, values)
    words = ("-t", "ct-denoise", "--unit", "HU", "--save-residual")
    assert restore(source, *words) == 0
    after = tifffile.imread(tmp_path / "scan_ct-denoise.tif")
    residual = tifffile.imread(tmp_path / "scan_ct-denoise_residual.tif")
    np.testing.assert_allclose(after + residual, values, atol=1e-3)  # float32 at 1000 HU: 6e-5


def test_a_region_map_is_used(tmp_path: Path, capsys: Output) -> None:
    source, labels = tmp_path / "scan.tif", tmp_path / "labels.tif"
    tifffile.imwrite(source, np.linspace(-900, 900, 48 * 48, dtype=np.float32).reshape(48, 48))
    tifffile.imwrite(labels, np.repeat(np.arange(6, dtype=np.uint8), 8)[:, None].repeat(48, 1))
    words = ("-t", "ct-denoise", "--unit", "HU", "--regions", labels, "--json")
    assert restore(source, *words) == 0
    assert json.loads(capsys.readouterr().out)["regions"] == 6


def test_other_regions_give_other_identifiers_and_are_not_told_as_a_partition(scan: Path) -> None:
    made = []
    for name, rows in (("a", 8), ("b", 16), ("a_again", 8)):
        labels = scan.parent / f"{name}.tif"
        tifffile.imwrite(labels, (np.indices((64, 64))[0] // rows).astype(np.uint8))
        out = scan.parent / name / "scan.dcm"
        assert restore(scan, "-t", "ct-denoise", "--regions", labels, "-o", out) == 0
        made.append(pydicom.dcmread(out))
    first, other, again = made
    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert "regions by user" in first.DerivationDescription


def test_a_region_map_of_another_size_is_refused(scan: Path, capsys: Output) -> None:
    labels = scan.parent / "labels.tif"
    tifffile.imwrite(labels, np.zeros((48, 48), np.uint8))
    assert restore(scan, "-t", "ct-denoise", "--regions", labels) == 4
    assert "the region map is 1 x 48 x 48, but the scan is 1 x 64 x 64" in capsys.readouterr().err
    assert names(scan.parent) == ["labels.tif", "scan.dcm"]


def write_truncated(path: Path) -> None:
    path.write_bytes((EXAMPLES / "ct_phantom.dcm").read_bytes()[:60000])


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("notes.txt", 4, "rat: notes.txt is a text file"),
        ("truncated.dcm", 4, "rat: truncated.dcm: the pixel data end early"),
        ("missing.dcm", 3, "rat: missing.dcm does not exist."),
        ("mr.dcm", 4, "rat: mr.dcm: modality is MR, but ct-denoise restores CT."),
        ("empty", 3, "rat: empty holds no scan and no picture."),
        ("nothing.dcm", 4, "rat: nothing.dcm is empty"),
    ],
)
def test_a_bad_input_gets_one_sentence_and_leaves_nothing(
    name: str, code: int, expected: str, tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    write_truncated(tmp_path / "truncated.dcm")
    cut_example(tmp_path / "mr.dcm", modality="MR")
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.dcm").touch()
    before = names(tmp_path)
    assert restore(tmp_path / name, "-t", "ct-denoise", "-o", tmp_path / "out") == code
    told = capsys.readouterr()
    assert told.err.startswith(expected)
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert names(tmp_path) == before


def test_the_weights_are_not_read_for_a_wrong_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAT_HOME", str(tmp_path / "nowhere"))
    scan = cut_example(tmp_path / "mr.dcm", modality="MR")
    assert restore(scan, "-t", "ct-denoise") == 4


def test_missing_weights_give_7(scan: Path, capsys: Output) -> None:
    assert restore(scan, "-t", "ct-denoise", "--weights", "ct-denois") == 7
    assert "Did you mean ct-denoise?" in capsys.readouterr().err
    assert names(scan.parent) == ["scan.dcm"]


def test_a_device_that_is_not_there_gives_6(scan: Path, capsys: Output) -> None:
    assert restore(scan, "-t", "ct-denoise", "--device", "cuda:77") == 6
    assert capsys.readouterr().err.count("\n") == 1
    assert names(scan.parent) == ["scan.dcm"]


def test_an_output_that_exists_is_left_alone(scan: Path, capsys: Output) -> None:
    output = scan.parent / "scan_ct-denoise.dcm"
    assert restore(scan, "-t", "ct-denoise") == 0
    before = output.read_bytes()
    assert restore(scan, "-t", "ct-denoise") == 5
    assert "rat: scan_ct-denoise.dcm already exists." in capsys.readouterr().err
    assert restore(scan, "-t", "ct-denoise", "--if-exists", "skip") == 0
    assert output.read_bytes() == before
    changed = ("--strength", "0.5", "--if-exists", "overwrite")
    assert restore(scan, "-t", "ct-denoise", *changed) == 0
    assert output.read_bytes() != before


def test_the_input_is_never_the_output(scan: Path) -> None:
    before = scan.read_bytes()
    assert restore(scan, "-t", "ct-denoise", "-o", scan, "--if-exists", "overwrite") == 5
    assert scan.read_bytes() == before


def mixed_folder(folder: Path) -> Path:
    folder.mkdir()
    cut_example(folder / "a.dcm")
    write_truncated(folder / "b.dcm")
    tifffile.imwrite(folder / "c.tif", np.linspace(-999, 999, 1024, dtype="f4").reshape(32, 32))
    (folder / "notes.txt").write_text("no scan, so no failure")
    return folder


def test_a_folder_with_a_broken_scan_gives_8_and_all_others(tmp_path: Path, capsys: Output) -> None:
    folder = mixed_folder(tmp_path / "in")
    words = (folder, "-t", "ct-denoise", "--unit", "HU", "-o", tmp_path / "out", "--json")
    assert restore(*words) == 8
    told = capsys.readouterr()
    found = {result["input"]: result for result in map(json.loads, told.out.splitlines())}
    assert {name: result["status"] for name, result in found.items()} == {
        "a.dcm": "done",
        "b.dcm": "failed",
        "c.tif": "done",
    }
    assert found["b.dcm"]["exit_code"] == 4
    assert names(tmp_path / "out") == ["a.dcm", "c.tif"]
    assert "error: b.dcm: the pixel data end early" in told.err
    assert "2 done, 0 skipped, 1 failed" in told.err


def test_a_dry_run_tells_and_writes_nothing(tmp_path: Path, capsys: Output) -> None:
    folder = mixed_folder(tmp_path / "in")
    before = names(tmp_path)
    assert restore(folder, "-t", "ct-denoise", "-o", tmp_path / "out", "--dry-run") == 8
    assert "a.dcm -> out/a.dcm\n" in capsys.readouterr().out
    assert names(tmp_path) == before


def test_a_second_call_does_only_what_is_left(tmp_path: Path, capsys: Output) -> None:
    folder = mixed_folder(tmp_path / "in")
    words = ("-t", "ct-denoise", "-o", tmp_path / "out", "--json")
    kept = ("--manifest", tmp_path / "run.json", "--resume")
    assert restore(folder, *words, *kept) == 8
    capsys.readouterr()
    cut_example(folder / "b.dcm")
    assert restore(folder, *words, *kept) == 0
    results = map(json.loads, capsys.readouterr().out.splitlines())
    assert {result["input"]: result["status"] for result in results} == {
        "a.dcm": "skipped",
        "b.dcm": "done",
        "c.tif": "skipped",
    }


def test_a_manifest_of_other_settings_is_not_resumed(scan: Path, capsys: Output) -> None:
    kept = ("--manifest", scan.parent / "run.json", "--resume")
    assert restore(scan, "-t", "ct-denoise", *kept) == 0
    capsys.readouterr()
    assert restore(scan, "-t", "ct-denoise", *kept, "--strength", 0.5) == 2
    assert "strength = 1.0, but now it is 0.5" in capsys.readouterr().err


def test_a_manifest_tells_versions_and_hashes(scan: Path) -> None:
    manifest = scan.parent / "run.json"
    assert restore(scan, "-t", "ct-denoise", "--manifest", manifest) == 0
    told = json.loads(manifest.read_text())
    assert told["finished"]
    assert {"rat", "torch", "device"} <= set(told)
    assert len(told["settings"]["weights_sha256"]) == 64
    (file,) = told["files"]
    assert len(file["input_sha256"]) == len(file["output_sha256"]) == 64


def test_where_an_output_goes_is_told_below_the_working_folder(
    scan: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scan.parent)
    manifest = Path("run.json")
    words = ("-t", "ct-denoise", "-o", "results/today/", "--manifest", manifest)
    assert restore("scan.dcm", *words) == 0
    assert "scan.dcm -> results/today/scan.dcm (1 plane" in capsys.readouterr().err
    (file,) = json.loads(manifest.read_text())["files"]
    assert file["output"] == "results/today/scan.dcm"
    assert restore("scan.dcm", *words, "--resume") == 0
    assert restore(scan, "-t", "ct-denoise") == 0
    assert "scan.dcm -> scan_ct-denoise.dcm (1 plane" in capsys.readouterr().err


def test_options_come_from_a_file_and_the_command_line_wins(scan: Path, capsys: Output) -> None:
    config = scan.parent / "run.toml"
    config.write_text('task = "pet-synthesis"\n[restore]\nstrength = 0.25\nif-exists = "skip"\n')
    words = ("--config", config, "-t", "ct-denoise", "--manifest", scan.parent / "run.json")
    assert restore(scan, *words) == 0
    settings = json.loads((scan.parent / "run.json").read_text())["settings"]
    assert settings["task"] == "ct-denoise"
    assert settings["strength"] == 0.25


def test_an_unknown_word_in_a_config_gets_a_suggestion(scan: Path, capsys: Output) -> None:
    config = scan.parent / "run.toml"
    config.write_text("strenght = 0.25\n")
    assert restore(scan, "--config", config) == 2
    assert "'strenght', which is not an option. Did you mean strength?" in capsys.readouterr().err


def test_a_log_file_gets_every_detail(scan: Path, capsys: Output) -> None:
    log = scan.parent / "rat.log"
    assert restore(scan, "-t", "ct-denoise", "--log-file", log, "-q") == 0
    assert capsys.readouterr().err == ""
    assert "scan.dcm -> scan_ct-denoise.dcm" in log.read_text()


def test_nothing_reaches_for_the_network(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object, **options: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert restore(scan, "-t", "ct-denoise") == 0


def test_a_run_gives_the_same_bytes_again(scan: Path) -> None:
    first, second = scan.parent / "1.dcm", scan.parent / "2.dcm"
    assert restore(scan, "-t", "ct-denoise", "-o", first) == 0
    assert restore(scan, "-t", "ct-denoise", "-o", second) == 0
    one, two = pydicom.dcmread(first), pydicom.dcmread(second)
    assert one.SOPInstanceUID == two.SOPInstanceUID
    assert one.PixelData == two.PixelData


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        cut_example(folder / f"{name}.dcm")
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}"
        assert restore(folder, "-t", "ct-denoise", "-o", out, "--jobs", jobs) == 0
    for name in "abc":
        one, two = (pydicom.dcmread(tmp_path / f"out{n}" / f"{name}.dcm") for n in (1, 2))
        assert one.PixelData == two.PixelData
