"""`rat info`: the range of the values, and what each task would do with a scan, or why not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from ratcli.cli.app import main
from ratcli.commands import suitability
from ratcli.formats import open_scan
from ratcli.formats.quick_look import QuickLookError
from ratcli.scan import Box, FloatArray
from ratcli.tasks import TASKS

Output = pytest.CaptureFixture[str]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ct_phantom.dcm"


def save_volume(path: Path, values: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


def as_json(capsys: Output, *words: object) -> dict[str, object]:
    assert main(["info", "--json", *map(str, words)]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def told(capsys: Output, path: Path) -> dict[str, str]:
    assert main(["info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    return {key: value for key, _, value in (line.strip().partition("  ") for line in lines)}


def test_all_that_is_asked_of_a_ct_is_told(capsys: Output) -> None:
    found = as_json(capsys, EXAMPLE)
    assert (found["kind"], found["modality"], found["unit"]) == ("CT Image Storage", "CT", "HU")
    assert (found["planes"], found["height"], found["bits"]) == (1, 256, 12)
    assert found["compression"] == "none"
    assert found["series"]
    with open_scan(EXAMPLE) as reader:
        values = reader.read(0)
    assert found["range"] == {
        "lowest": float(values.min()),
        "highest": float(values.max()),
        "seen": 1.0,
    }
    verdicts = {item["task"]: item for item in found["restore"]}
    assert verdicts["ct-denoise"]["fits"]
    assert "changes values from -1024 to 3072 HU" in verdicts["ct-denoise"]["text"]
    assert verdicts["pet-synthesis"]["text"] == "modality is CT, but pet-synthesis restores PET"


def test_the_same_stands_in_words(capsys: Output) -> None:
    assert main(["info", str(EXAMPLE)]) == 0
    text = capsys.readouterr().out
    assert "range " in text
    assert "gives 1 plane of 256 x 256 pixels; changes values from -1024 to 3072 HU" in text
    assert "no, modality is CT, but pathology-sr restores pathology slides" in text


def test_values_that_are_no_hu_are_told_as_the_reason(tmp_path: Path, capsys: Output) -> None:
    path = save_volume(tmp_path / "a.nii", np.arange(60, dtype=np.int16).reshape(5, 4, 3))
    found = as_json(capsys, path)
    reason = next(item["text"] for item in found["restore"] if item["task"] == "ct-denoise")
    assert "do not look like HU" in reason
    assert "--unit HU" in reason
    assert "ct-denoise" not in found["tasks"]


def test_a_finer_grid_is_told_with_its_size(tmp_path: Path, capsys: Output) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    rows = as_json(capsys, tmp_path / "a.tif")["restore"]
    text = next(item["text"] for item in rows if item["fits"])
    assert text == "gives 1 plane of 80 x 120 pixels, 4 times as fine"


def test_padding_and_values_that_are_not_finite_are_no_part_of_the_range(tmp_path: Path) -> None:
    values = np.array([[np.nan, 3, -2], [np.inf, 1, 2]], np.float32).reshape(3, 2, 1)
    with open_scan(save_volume(tmp_path / "a.nii", values)) as reader:
        found = suitability.measure_range(reader)
    assert found is not None
    assert (found.lowest, found.highest) == (-2, 3)


def test_a_scan_without_a_measured_pixel_has_no_range(tmp_path: Path, capsys: Output) -> None:
    empty = np.full((4, 4, 2), np.nan, np.float32)
    found = as_json(capsys, save_volume(tmp_path / "a.nii", empty))
    assert found["range"] is None
    assert found["tasks"] == []


def test_of_a_large_scan_spread_planes_are_looked_at(tmp_path: Path) -> None:
    values = np.zeros((10, 10, 9), np.float32)
    values[..., 8] = 7
    with open_scan(save_volume(tmp_path / "a.nii", values)) as reader:
        found = suitability.measure_range(reader, most_pixels=300)
    assert found == suitability.ValueRange(0, 7, pytest.approx(3 / 9))


def test_the_range_is_that_of_the_planes_that_were_read_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(4, dtype=np.float32) * np.ones((10, 10, 1), np.float32)
    with open_scan(save_volume(tmp_path / "a.nii", values)) as reader:
        read = reader.read

        def read_two(plane: int, box: Box | None = None) -> FloatArray:
            if plane > 1:
                raise QuickLookError("decoding takes too long")
            return read(plane, box)

        monkeypatch.setattr(reader, "read", read_two)
        assert suitability.measure_range(reader) == suitability.ValueRange(0, 1, 0.5)


def test_of_a_large_plane_boxes_are_looked_at(tmp_path: Path) -> None:
    values = np.zeros((2100, 2100), np.uint8)
    values[-1, -1] = 9
    tifffile.imwrite(tmp_path / "a.tif", values, tile=(256, 256))
    with open_scan(tmp_path / "a.tif") as reader:
        found = suitability.measure_range(reader, most_pixels=1 << 22)
    assert found is not None
    assert found.highest == 9
    assert found.seen < 1


def test_damaged_pixels_are_told_beside_the_header(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.arange(4096, dtype=np.uint8).reshape(64, 64), compression="zlib")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]
    content[start : start + 20] = b"\xff" * 20
    path.write_bytes(content)
    assert main(["info", str(path)]) == 4
    caught = capsys.readouterr()
    assert "64 x 64 pixels" in caught.out
    assert "not readable" in caught.out
    assert "the pixel data of page 1 are damaged" in caught.err


def test_a_header_alone_tells_no_range(capsys: Output) -> None:
    found = as_json(capsys, EXAMPLE, "--header-only")
    assert found["range"] is None
    assert found["restore"] == []
    assert found["tasks"] == ["ct-denoise"]


def test_notices_about_a_series_are_told(tmp_path: Path, capsys: Output) -> None:
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(EXAMPLE.read_bytes())
    notices = as_json(capsys, tmp_path)["notices"]
    assert notices == ["b.dcm is a copy of a.dcm and was left out"]


def test_every_task_has_a_verdict(tmp_path: Path, capsys: Output) -> None:
    path = save_volume(tmp_path / "a.nii.gz", np.ones((4, 4, 2), np.int16))
    assert [item["task"] for item in as_json(capsys, path)["restore"]] == list(TASKS)
    assert told(capsys, path)["compression"].strip() == "gzip"


def test_torch_is_not_loaded() -> None:
    code = (
        f"import sys; from ratcli.cli.app import main; main(['info', {str(EXAMPLE)!r}]);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_names_outside_the_code_page_of_the_console_are_escaped(tmp_path: Path) -> None:
    path = save_volume(tmp_path / "\u6797\u2192\U0001f600.nii", np.zeros((4, 4, 1), np.int16))
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    for words in ([], ["--json"]):
        run = subprocess.run(
            [sys.executable, "-m", "ratcli", "info", "--header-only", *words, str(path)],
            env=environment,
            capture_output=True,
        )
        assert run.returncode == 0, run.stderr
        assert b"\\u6797\\u2192\\ud83d\\ude00.nii" in run.stdout
    assert json.loads(run.stdout)["name"] == path.name
