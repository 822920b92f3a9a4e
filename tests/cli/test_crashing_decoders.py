"""A scan on which a decoder crashes fails alone, in every command and in every kind of process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, generate_uid

from ratcli.cli.app import main
from ratcli.formats import sandbox

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ct_phantom.dcm"
MARK = b"ends the decoder"

# Python runs this file at its start: decoders then crash on a codestream with the mark.
_SITE = f"""
import os, signal
import imagecodecs
def crashing(decode):
    def decode_or_crash(data, *arguments, **options):
        if {MARK!r} in bytes(data):
            os.kill(os.getpid(), signal.SIGSEGV)
        return decode(data, *arguments, **options)
    return decode_or_crash
imagecodecs.jpeg2k_decode = crashing(imagecodecs.jpeg2k_decode)
"""


@pytest.fixture
def _crashing_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SITE)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), before))))
    sandbox._decoders.end()
    yield
    sandbox._decoders.end()


pytestmark = pytest.mark.usefixtures("_crashing_decoders", "tiny_weights")


def packed(pixels: np.ndarray, *, crashes: bool) -> bytes:
    """Return pixels as JPEG 2000; on request with a comment on which the decoder crashes."""
    data = bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="J2K"))
    comment = b"\xff\x64" + (len(MARK) + 4).to_bytes(2, "big") + b"\0\1" + MARK
    return data.replace(b"\xff\x90\x00\x0a", comment + b"\xff\x90\x00\x0a") if crashes else data


def save(path: Path, *, crashes: bool) -> None:
    dataset = pydicom.dcmread(EXAMPLE)
    pixels = np.ascontiguousarray(dataset.pixel_array[100:148, 100:148])
    dataset.Rows = dataset.Columns = 48
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate([packed(pixels, crashes=crashes)])
    dataset["PixelData"].VR = "OB"
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.save_as(path)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three scans; the second one crashes its decoder."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        save(tmp_path / "in" / f"{number}.dcm", crashes=number == 1)
    return tmp_path / "in"


TASK = ("-t", "ct-denoise")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("restore", (*TASK, "--partition", "none")),
        ("segment", ()),
        ("segment", ("--jobs", "2")),
        ("simulate", TASK),
        ("evaluate", ()),
        ("evaluate", ("--jobs", "2")),
    ],
)
def test_the_other_scans_of_a_batch_are_done(
    command: str, words: tuple[str, ...], scans: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "run.json"
    out = () if command == "evaluate" else ("-o", str(tmp_path / "out"))
    assert main([command, str(scans), *words, *out, "--manifest", str(manifest)]) == 8
    found = {Path(scan["name"]).stem: scan for scan in json.loads(manifest.read_text())["files"]}
    told = {name: (scan["status"], scan.get("exit_code", 0)) for name, scan in found.items()}
    assert told == {"0": ("done", 0), "1": ("failed", 4), "2": ("done", 0)}
    assert found["1"]["error"] == "1.dcm: the pixel data crashed the decoder"


def test_info_tells_the_header_and_the_crash(
    scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(scans), "--json"]) == 8
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    sizes = {found["name"]: found["height"] for found in lines if "height" in found}
    assert sizes == dict.fromkeys(("0.dcm", "1.dcm", "2.dcm"), 48)
    assert "1.dcm: the pixel data crashed the decoder" in told.out + told.err


def test_a_tiff_that_crashes_its_decoder_fails_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, pixels = tmp_path / "in", np.arange(1024, dtype=np.uint8).reshape(32, 32)
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        tile = packed(pixels, crashes=name == "a.tif")
        layout = {"shape": pixels.shape, "dtype": pixels.dtype, "tile": pixels.shape}
        tifffile.imwrite(folder / name, iter([tile]), compression="jpeg2000", **layout)
    words = ["restore", str(folder), "-t", "ct-denoise", "--unit", "HU", "--any-values"]
    assert main([*words, "--partition", "none", "-o", str(tmp_path / "out")]) == 8
    assert "page 1 crashed the decoder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.tif"]
