from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest

import ratcli
from ratcli.cli import app
from ratcli.cli.app import COMMANDS, main
from ratcli.errors import sentence

Output = pytest.CaptureFixture[str]


def make_nifti(path: Path) -> Path:
    values = np.arange(8 * 6 * 2, dtype=np.int16).reshape(8, 6, 2) * 20 - 1000
    nibabel.save(nibabel.Nifti1Image(values, np.diag([0.5, 0.5, 3, 1])), path)
    return path


def test_without_a_command_the_help_stands_on_stdout(capsys: Output) -> None:
    assert main([]) == 0
    told = capsys.readouterr()
    assert "Usage: rat" in told.out
    assert told.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: Output) -> None:
    assert main([command, "--help"]) == 0
    assert f"rat {command}" in capsys.readouterr().out


def test_the_version_is_told(capsys: Output) -> None:
    assert main(["--version"]) == 0
    first, torch, *weights = capsys.readouterr().out.splitlines()
    assert first.startswith("rat ")
    assert torch.startswith("torch ")
    assert any(line.startswith("weights ct-denoise ") for line in weights)


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS), ["weights", "list"]])
def test_the_help_shows_no_types_of_python(words: list[str], capsys: Output) -> None:
    assert main([*words, "--help"]) == 0
    assert not re.search(r"<\w|\blist\[", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--strength", "60"], "--strength must be from 0 to 1, not 60."),
        (["--jobs", "0"], "--jobs must be from 1 to 1024, not 0."),
        (["--jobs"], "option '--jobs' requires an argument."),
        (["--tile", "1e3"], "--tile must be a whole number, not '1e3'."),
        (["--dose-equivalent", "inf"], "--dose-equivalent must be at least 1, not inf."),
        (["--precision", "half"], "--precision must be auto or fp32 or mixed or bf16, not 'half'."),
        (["--unit", "banana"], "there is no unit 'banana'. There are HU, SUV, Bq/ml."),
        (["--partition", "sam"], "there is no partition 'sam'. Did you mean sam-compact?"),
    ],
)
def test_a_wrong_value_is_one_sentence_and_code_2(
    words: list[str], expected: str, capsys: Output
) -> None:
    assert main(["restore", "scan.dcm", *words]) == 2
    assert capsys.readouterr().err.startswith(f"rat: {expected}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["inof"], "rat: there is no command 'inof'. Did you mean info?"),
        (["restore", "x", "--tsk", "y"], "rat: there is no option --tsk. Did you mean --task?"),
        (["simulate", "x"], "rat: no task was named. Add --task with one of "),
        (["restore", "x", "-t", "ct-denois"], "Did you mean ct-denoise?"),
        (["restore"], "rat: missing argument 'INPUT'"),
    ],
)
def test_a_mistyped_line_gets_one_sentence_and_code_2(
    words: list[str], expected: str, capsys: Output
) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert expected in told.err


def test_an_unexpected_error_is_told_without_its_text(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: object, **options: object) -> None:
        raise KeyError("DOE^JOHN")

    monkeypatch.setattr("ratcli.batch.found.find_inputs", fail)
    assert main(["info", "x"]) == 1
    told = capsys.readouterr().err
    assert "internal error (KeyError in info.py" in told
    assert "DOE" not in told
    assert told.count("\n") == 1


def test_the_traceback_comes_with_debug(capsys: Output, tmp_path: Path) -> None:
    assert main(["info", str(tmp_path / "gone.nii"), "--debug"]) == 3
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert told.endswith("rat: gone.nii does not exist.\n")


def test_an_interrupt_gives_130(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ratcli.batch.found.find_inputs", interrupt)
    assert main(["info", "x"]) == 130
    assert capsys.readouterr().err == "rat: interrupted.\n"


def test_sentences_end_with_one_full_stop() -> None:
    assert sentence("a is b.", "Try c") == "a is b. Try c."
    assert sentence("a is b", "Did you mean c?") == "a is b. Did you mean c?"


def test_info_tells_what_is_in_a_file(tmp_path: Path, capsys: Output) -> None:
    assert main(["info", str(make_nifti(tmp_path / "scan.nii.gz"))]) == 0
    told = capsys.readouterr().out
    assert told.startswith("scan.nii.gz\n")
    assert "nifti" in told
    assert "0.5" in told


def test_info_as_json_is_one_object_a_scan(tmp_path: Path, capsys: Output) -> None:
    make_nifti(tmp_path / "a.nii")
    make_nifti(tmp_path / "b.nii")
    assert main(["info", str(tmp_path), "--json"]) == 0
    facts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [fact["name"] for fact in facts] == ["a.nii", "b.nii"]
    assert "ct-denoise" in facts[0]["tasks"]


def test_info_refuses_a_text_file(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert main(["info", str(path)]) == 4
    assert "notes.txt is a text file" in capsys.readouterr().err


def test_info_names_the_tasks_that_fit() -> None:
    from ratcli.commands.info import fitting_tasks
    from ratcli.scan import ScanInfo

    mr = ScanInfo(1, 1, 8, 8, (None, None, None), "MR", None, 16, "dicom")
    ct = ScanInfo(1, 1, 8, 8, (None, None, None), "CT", "HU", 16, "dicom")
    assert fitting_tasks(mr) == []
    assert fitting_tasks(ct) == ["ct-denoise"]


def test_doctor_tells_of_torch_and_devices(capsys: Output) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["machine"]["rat"] == ratcli.__version__
    assert "cpu" in told["devices"]


def make_registry(folder: Path, content: bytes = b"whole") -> None:
    import hashlib

    digest = hashlib.sha256(b"whole").hexdigest()
    (folder / "tiny.safetensors").write_bytes(content)
    (folder / "registry.toml").write_text(
        f'[tiny]\ntask = "ct-denoise"\nfile = "tiny.safetensors"\nsha256 = "{digest}"\n'
        'summary = "for a test"\ndata = []\nlicence = "Apache-2.0"\nnetwork = {}\n'
    )


def test_weights_are_listed(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_registry(tmp_path)
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    assert main(["weights", "list"]) == 0
    assert "tiny" in capsys.readouterr().out


def test_the_file_of_weights_is_told(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_registry(tmp_path)
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    assert main(["weights", "path", "tiny"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'tiny.safetensors'}\n"


@pytest.mark.parametrize(("content", "code"), [(b"whole", 0), (b"damaged", 7)])
def test_weights_are_verified(
    content: bytes,
    code: int,
    tmp_path: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_registry(tmp_path, content)
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    assert main(["weights", "verify", "tiny"]) == code
    assert "tiny: " in capsys.readouterr().out


def test_unknown_weights_get_a_suggestion(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_registry(tmp_path)
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    assert main(["weights", "path", "tinny"]) == 7
    assert "Did you mean tiny?" in capsys.readouterr().err


def test_what_can_be_downloaded_is_listed_too(capsys: Output) -> None:
    assert main(["weights", "list", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"sam-vit-b", "sam-vit-l", "sam-vit-h"} <= {each["name"] for each in listed}


def test_only_a_published_checkpoint_is_imported(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAT_HOME", str(tmp_path / "home"))
    (tmp_path / "sam.pth").write_bytes(b"cut off")
    assert main(["weights", "import", str(tmp_path / "sam.pth")]) == 7
    assert "sam.pth is not a published SAM checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_a_download_that_does_not_arrive_leaves_nothing(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    def refuse(*words: object, **options: object) -> None:
        raise requests.exceptions.ConnectionError

    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    monkeypatch.setattr(requests, "get", refuse)
    assert main(["weights", "download", "sam-vit-b"]) == 7
    assert "there is no connection to the server" in capsys.readouterr().err
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"KMP_BLOCKTIME": "200"}, {"KMP_BLOCKTIME": "200"}),
        ({"GOMP_SPINCOUNT": "1000"}, {"GOMP_SPINCOUNT": "1000"}),
    ],
)
def test_threads_wait_without_work_unless_the_user_says_how_they_wait(
    given: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(given))
    monkeypatch.setattr(app, "main", lambda: 0)
    with pytest.raises(SystemExit, match="0"):
        app.run()
    assert os.environ == expected
