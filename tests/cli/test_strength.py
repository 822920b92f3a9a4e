"""Strengths by name, and strengths that are chosen from a noise, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli_restore import cut_example, restore

import ratcli
from ratcli.errors import UsageError

pytestmark = pytest.mark.usefixtures("tiny_weights")
Output = pytest.CaptureFixture[str]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return cut_example(tmp_path / "scan.dcm")


@pytest.mark.parametrize(
    ("word", "number"), [("low", 0.4), ("medium", 0.7), ("high", 1.0), ("0.25", 0.25)]
)
def test_a_strength_has_a_name_or_a_number(scan: Path, word: str, number: float) -> None:
    manifest = scan.parent / "run.json"
    assert restore(scan, "-t", "ct-denoise", "--strength", word, "--manifest", manifest) == 0
    assert json.loads(manifest.read_text())["settings"]["strength"] == number


def test_a_config_may_name_the_strength(scan: Path) -> None:
    config, manifest = scan.parent / "run.toml", scan.parent / "run.json"
    config.write_text('task = "ct-denoise"\nstrength = "low"\n')
    assert restore(scan, "--config", config, "--manifest", manifest) == 0
    assert json.loads(manifest.read_text())["settings"]["strength"] == 0.4


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--strength", "strong"), "low, medium, high, or a number from 0 to 1, not 'strong'"),
        (("--strength", "nan"), "not nan"),
        (("--strength", "-0.1"), "strength must be from 0 to 1, not -0.1"),
        (("--target-noise", "15SUV"), "a number in HU, such as 15HU, not '15SUV'"),
        (("--target-noise", "0"), "target-noise must be at least 0.1, not 0"),
        (("--dose-equivalent", "0.5"), "dose-equivalent"),
        (("--target-noise", "9HU", "--dose-equivalent", "2"), "given more than once"),
        (("--target-noise", "9HU", "--strength", "low"), "given more than once"),
    ],
)
def test_a_strength_that_is_none_gets_one_sentence(
    scan: Path, capsys: Output, words: tuple[str, ...], expected: str
) -> None:
    assert restore(scan, "-t", "ct-denoise", *words) == 2
    told = capsys.readouterr().err
    assert expected in told
    assert told.count("\n") == 1


def test_pet_has_no_noise_to_choose(tmp_path: Path, capsys: Output) -> None:
    scan = cut_example(tmp_path / "scan.dcm", "PT")
    assert restore(scan, "-t", "pet-synthesis", "--target-noise", "1") == 2
    assert "a noise can be chosen for CT, not for pet-synthesis" in capsys.readouterr().err


def test_a_noise_out_of_reach_says_what_is_in_reach(scan: Path, capsys: Output) -> None:
    words = ("-t", "ct-denoise", "--partition", "none", "--target-noise", "900HU")
    assert restore(scan, *words) == 4
    assert "no strength gives 900 HU: the scan has" in capsys.readouterr().err
    assert not (scan.parent / "scan_ct-denoise.dcm").exists()


def test_python_takes_the_names_too(scan: Path) -> None:
    (outcome,) = ratcli.restore([scan], task="ct-denoise", strength="medium", threads=1)
    assert outcome.status == "done"
    with pytest.raises(UsageError, match="not 'much'"):
        ratcli.restore([scan], task="ct-denoise", strength="much")


def test_what_was_chosen_is_in_the_json(
    scan: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ratcli.batch import restoring
    from ratcli.pipeline.aiming import ChosenStrength

    chosen = ChosenStrength(0.6, 20.0, 10.0)
    monkeypatch.setattr(restoring, "aimed", lambda model, *_: (model.with_strength(0.6), chosen))
    words = ("-t", "ct-denoise", "--partition", "none", "--dose-equivalent", "4", "--json")
    assert restore(scan, *words, "--report", scan.parent / "page.html") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["strength"], told["input_noise_hu"], told["noise_hu"]) == (0.6, 20.0, 10.0)
    page = (scan.parent / "page.html").read_text()
    assert "strength 0.6 chosen, which changes the noise from 20 to 10 HU" in page
    assert "strength 0.6 chosen for the noise of 4 times the dose" in page
