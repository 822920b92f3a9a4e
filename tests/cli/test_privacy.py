"""Nothing of a patient, and no folder of an input, in anything that comes out of any command.

Nor does any of them reach for the network; that is watched in all tests of this file.
"""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from training_scans import write_recipe

from ratcli.cli.app import COMMANDS as EVERY_COMMAND
from ratcli.cli.app import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECRETS = ("SECRETNAME", "SECRETID", "19330303", "SECRETSITE", "SECRETDOCTOR", "secretfolder")
FILES = ("whole.dcm", "truncated.dcm", "odd.dcm", "mr.dcm", "no_pixels.dcm", "bad_value.dcm")
Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_weights", "no_network")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse every connection, and fail where one was tried, even if that was caught."""
    tried: list[object] = []

    def refuse(*words: Any, **options: Any) -> None:
        tried.append(words[-1])
        raise OSError("no network here")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    yield
    assert tried == []


def marked(uid: str = "") -> pydicom.Dataset:
    image = pydicom.dcmread(EXAMPLES / "ct_phantom.dcm")
    image.PixelData = image.pixel_array[96:144, 96:144].tobytes()
    image.Rows = image.Columns = 48
    image.PatientName = "SECRETNAME^X"
    image.PatientID = "SECRETID"
    image.PatientBirthDate = "19330303"
    image.InstitutionName = "SECRETSITE"
    image.ReferringPhysicianName = "SECRETDOCTOR"
    image.PatientComments = "SECRETNAME called on 19330303"
    if uid:
        image.SOPInstanceUID = image.SeriesInstanceUID = pydicom.uid.generate_uid(
            entropy_srcs=[uid]
        )
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


ALTERATIONS: dict[str, Callable[[pydicom.Dataset], None]] = {
    "mr.dcm": lambda image: setattr(image, "Modality", "MR"),
    "no_pixels.dcm": lambda image: delattr(image, "PixelData"),
}
# Bytes of the file that are replaced: a date and a spacing that pydicom warns about, and quotes.
REPLACED = {
    "odd.dcm": (b"19330303", b"SECRETID"),
    "bad_value.dcm": (b"1.4\\1.4 ", b"SECRETID"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name is a secret, of files that fail in different ways."""
    folder = tmp_path / "secretfolder"
    folder.mkdir()
    for name in FILES:
        image = marked(uid=name)
        ALTERATIONS.get(name, bool)(image)
        image.save_as(folder / name)
        before, after = REPLACED.get(name, (b"", b""))
        content = (folder / name).read_bytes()
        assert before in content
        (folder / name).write_bytes(content.replace(before, after))
    whole = (folder / "truncated.dcm").read_bytes()
    (folder / "truncated.dcm").write_bytes(whole[:-1000])
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Pairs of two patients in a folder whose name is a secret."""
    folder = tmp_path / "secretfolder"
    for number in range(2):
        for part in ("low", "full"):
            image = marked(uid=f"{part}{number}")
            image.PatientID = f"SECRETID-{number}"
            noise = np.random.default_rng(number).normal(0, 20, (48, 48)).astype(np.int16)
            pixels = np.frombuffer(image.PixelData, np.int16).reshape(48, 48)
            image.PixelData = (pixels + noise * (part == "low")).tobytes()
            place = folder / part / f"p{number}.dcm"
            place.parent.mkdir(parents=True, exist_ok=True)
            image.save_as(place)
    return folder


KEPT = ("--manifest", "run.json", "--log-file", "rat.log", "-v", "--json", "--threads", "1")
LOGGED = ("-v", "--log-file", "rat.log")
CT = ("-t", "ct-denoise", "-o", "out")
COMMANDS = {
    "restore": ("restore", *CT, "--report", "reports", *KEPT),
    "residuals and uncertainty": ("restore", *CT, "--save-residual", "--uncertainty", *KEPT),
    "a dry run": ("restore", *CT, "-v", "--dry-run"),
    "two processes": ("restore", *CT, "--jobs", "2", *KEPT),
    "simulate": ("simulate", *CT, *KEPT),
    "segment": ("segment", "-o", "out", "--table", "--preview", "--cache", "cache", *LOGGED),
    "segment to NIfTI": ("segment", "-o", "out", "--format", "nifti", *KEPT),
    "segment to TIFF": ("segment", "-o", "out", "--format", "tiff", *LOGGED),
    "evaluate": (
        "evaluate",
        "--report",
        "reports",
        "--csv",
        "all.csv",
        "--json",
        "--manifest",
        "run.json",
        *LOGGED,
    ),
    "info": ("info",),
    "info as JSON": ("info", "--json"),
}
WITHOUT_SCANS = {
    "doctor": ("doctor",),
    "doctor as JSON": ("doctor", "--json"),
    "weights list": ("weights", "list", "--json"),
    "weights path": ("weights", "path"),
    "weights verify": ("weights", "verify"),
}


def assert_no_secret(text: str, where: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == [], f"in {where}:\n{text}"


def assert_nothing_came_out(told: Any, root: Path) -> None:
    """Search what was told, and all files but DICOM, which keeps its header by design."""
    assert_no_secret(told.out, "stdout")
    assert_no_secret(told.err, "stderr")
    made = [path for path in root.rglob("*") if "secretfolder" not in path.parts]
    for path in made:
        assert_no_secret(path.relative_to(root).as_posix(), "a name")
        if path.is_file() and path.suffix != ".dcm":
            content = path.read_bytes()
            text = gzip.decompress(content) if path.suffix == ".gz" else content
            assert_no_secret(text.decode("latin-1"), path.name)


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_nothing_of_a_patient_comes_out(
    words: tuple[str, ...],
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *rest = words
    assert main([command, str(folder), *rest]) == 8
    assert_nothing_came_out(capfd.readouterr(), tmp_path)


@pytest.mark.parametrize("words", WITHOUT_SCANS.values(), ids=WITHOUT_SCANS)
def test_what_reads_no_scan_tells_of_none(
    words: tuple[str, ...],
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    assert main(list(words)) == 0
    assert_nothing_came_out(capfd.readouterr(), tmp_path)


def test_training_and_publishing_tell_nothing_of_a_patient(
    study: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(tmp_path / "tiny.toml")
    run = ("train", "--data", str(study), "-o", "run", *LOGGED, "--threads", "1")
    assert main([*run, "--config", str(recipe)]) == 0
    assert main(["train", "-o", "run", "--publish", "mine", "--into", "home", *LOGGED]) == 0
    assert_nothing_came_out(capfd.readouterr(), tmp_path)


def test_a_comparison_of_three_scans_tells_nothing_of_a_patient(
    study: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    low, full = (str(study / part) for part in ("low", "full"))
    assert main(["restore", low, *CT, "--threads", "1"]) == 0
    others = ("--reference", full, "--input", low, "--patient", "folder")
    kept = ("--report", "reports", "--csv", "all.csv", "--json", *LOGGED)
    assert main(["evaluate", "out", *others, *kept]) == 0
    assert_nothing_came_out(capfd.readouterr(), tmp_path)


def test_every_command_is_searched() -> None:
    searched = {words[0] for words in (*COMMANDS.values(), *WITHOUT_SCANS.values())}
    # serve needs the network: tests/node/test_node.py. export sees no scan.
    elsewhere = {"train", "serve", "export"}
    assert searched | elsewhere == set(EVERY_COMMAND)


@pytest.mark.parametrize("name", FILES)
def test_nothing_of_a_patient_is_told_of_a_single_file(
    name: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    code = main(["restore", str(folder / name), "-t", "ct-denoise", "-o", str(output)])
    told = capfd.readouterr()
    assert_no_secret(told.out + told.err, "a message")
    assert (code == 0) == (name in ("whole.dcm", "odd.dcm"))
