"""Nothing of a patient, and no folder of an input, in anything that comes out of any command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from ratcli.cli.app import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECRETS = ("SECRETNAME", "SECRETID", "19330303", "SECRETSITE", "SECRETDOCTOR", "secretfolder")
FILES = ("whole.dcm", "truncated.dcm", "odd.dcm", "mr.dcm", "no_pixels.dcm", "bad_value.dcm")
Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_weights")


def marked() -> pydicom.Dataset:
    image = pydicom.dcmread(EXAMPLES / "ct_phantom.dcm")
    image.PixelData = image.pixel_array[96:144, 96:144].tobytes()
    image.Rows = image.Columns = 48
    image.PatientName = "SECRETNAME^X"
    image.PatientID = "SECRETID"
    image.PatientBirthDate = "19330303"
    image.InstitutionName = "SECRETSITE"
    image.ReferringPhysicianName = "SECRETDOCTOR"
    image.PatientComments = "SECRETNAME called on 19330303"
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
        image = marked()
        image.SOPInstanceUID = image.SeriesInstanceUID = pydicom.uid.generate_uid(
            entropy_srcs=[name]
        )
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        ALTERATIONS.get(name, bool)(image)
        image.save_as(folder / name)
        before, after = REPLACED.get(name, (b"", b""))
        content = (folder / name).read_bytes()
        assert before in content
        (folder / name).write_bytes(content.replace(before, after))
    whole = (folder / "truncated.dcm").read_bytes()
    (folder / "truncated.dcm").write_bytes(whole[:-1000])
    return folder


KEPT = ("--manifest", "run.json", "--log-file", "rat.log", "-v", "--json", "--threads", "1")
COMMANDS = {
    "restore": ("restore", "-t", "ct-denoise", "-o", "out", *KEPT),
    "a dry run": ("restore", "-t", "ct-denoise", "-o", "out", "-v", "--dry-run"),
    "two processes": ("restore", "-t", "ct-denoise", "-o", "out", "--jobs", "2", *KEPT),
    "simulate": ("simulate", "-t", "ct-denoise", "-o", "out", *KEPT),
    "segment": ("segment", "-o", "out", "--table", "-v", "--log-file", "rat.log"),
    "evaluate": ("evaluate", "--report", "reports", "--csv", "all.csv", "--json", "-v"),
    "info": ("info",),
    "info as JSON": ("info", "--json"),
}


def assert_no_secret(text: str, where: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == [], f"in {where}:\n{text}"


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
    told = capfd.readouterr()
    assert_no_secret(told.out, "stdout")
    assert_no_secret(told.err, "stderr")
    for path in tmp_path.rglob("*"):
        if folder not in (path, *path.parents):
            assert_no_secret(path.relative_to(tmp_path).as_posix(), "a name")
            if path.suffix in (".json", ".log", ".csv", ".html", ".txt"):
                assert_no_secret(path.read_text(), path.name)


@pytest.mark.parametrize("name", FILES)
def test_nothing_of_a_patient_is_told_of_a_single_file(
    name: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    code = main(["restore", str(folder / name), "-t", "ct-denoise", "-o", str(output)])
    told = capfd.readouterr()
    assert_no_secret(told.out + told.err, "a message")
    assert (code == 0) == (name in ("whole.dcm", "odd.dcm", "bad_value.dcm"))
