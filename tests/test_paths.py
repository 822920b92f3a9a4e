"""Paths that no file can have, and pipes that are waited for without end, are refused."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ratcli.batch import manifest
from ratcli.cli.app import main
from ratcli.commands.options import settle
from ratcli.commands.restore_options import RestoreOptions
from ratcli.errors import RatError, UsageError
from ratcli.paths import check_path

LONG = "x" * 5000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a scan, a named pipe, and a link to itself."""
    image = nib.Nifti1Image(np.zeros((8, 8, 1), np.int16), np.eye(4))
    nib.save(image, tmp_path / "scan.nii")
    (tmp_path / "long.toml").write_text(f'output = "{LONG}"\n')
    (tmp_path / "null.toml").write_text('output = "a\\u0000b"\n')
    for name in ("pipe", "pipe.toml", "pipe.json"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["restore", LONG], 3),
        (["info", LONG + ".dcm"], 3),
        (["restore", "scan.nii", "--report", LONG], 2),
        (["restore", "scan.nii", "--regions", LONG + ".nii"], 2),
        (["restore", "scan.nii", "--log-file", "y/" * 3000], 2),
        (["restore", "scan.nii", "--config", LONG], 2),
        (["restore", "scan.nii", "--config", "long.toml"], 2),
        (["restore", "scan.nii", "--config", "null.toml"], 2),
        (["restore", "scan.nii", "--output", "circle"], 2),
        (["segment", "scan.nii", "-o", LONG + ".dcm"], 2),
        (["weights", "import", LONG], 2),
        (["train", "--recipe", LONG + ".toml", "--data", ".", "--out", "run"], 2),
    ],
)
def test_what_cannot_be_a_path_is_refused_in_a_sentence(
    folder: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    told = capsys.readouterr().err
    assert "cannot be a path" in told or "no path may have" in told
    assert len(told) < 300


def test_python_refuses_the_same(folder: Path) -> None:
    for wrong in (LONG, "a\0b", "circle"):
        with pytest.raises(UsageError):
            settle(RestoreOptions, None, {"report": wrong})
    assert check_path(Path("not/there")) == Path("not/there")


def test_an_input_that_cannot_be_a_path_does_not_end_a_batch(folder: Path) -> None:
    words = ["restore", LONG, "scan.nii", "--unit", "HU", "--task", "ct-denoise", "-o", "out"]
    assert main([*words, "--dry-run"]) == 8


@pytest.mark.parametrize("more", [["-o", "out", "--save-residual"], [], ["--if-exists", "skip"]])
def test_an_output_whose_name_becomes_too_long_is_said(
    folder: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scan.nii").rename(folder / f"{'n' * 248}.nii")
    words = ["simulate", f"{'n' * 248}.nii", "--unit", "HU", "--dose", "0.5"]
    if "--save-residual" in more:
        words = ["restore", f"{'n' * 248}.nii", "--unit", "HU", "--partition", "none"]
    assert main([*words, "--task", "ct-denoise", *more]) == 5
    assert "cannot be a path: file name too long" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["restore", "scan.nii", "--config", "pipe"],
        ["restore", "pipe"],
        ["evaluate", "scan.nii", "--unit", "HU", "--regions", "pipe.json"],
        ["train", "--recipe", "pipe.toml", "--data", ".", "--out", "run"],
    ],
)
def test_a_named_pipe_is_not_waited_for(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) in (2, 4)
    assert "is a pipe or a device, not a file" in capsys.readouterr().err


def test_a_manifest_that_is_a_named_pipe_is_not_waited_for(folder: Path) -> None:
    with pytest.raises(RatError, match="pipe is a pipe or a device"):
        manifest.read(folder / "pipe", manifest.Header())


def test_a_config_may_come_through_a_pipe_of_the_shell(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b'[restore]\nnot-there = "x"\n')
    os.close(writing)
    try:
        assert main(["restore", "scan.nii", "--config", f"/dev/fd/{reading}"]) == 2
    finally:
        os.close(reading)
    assert "sets 'not-there', which is not an option" in capsys.readouterr().err
