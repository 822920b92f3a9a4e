"""`rat train` as users meet it."""

from __future__ import annotations

import csv
import os
import re
import signal
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from training_scans import body, write_nifti, write_pairs, write_recipe

import ratcli
from ratcli.cli import app
from ratcli.commands.train import TrainListener
from ratcli.training.checkpoints import CURVE
from ratcli.training.loop import StepDone
from ratcli.training.restoration import PatchFeed

ROOT = Path(__file__).resolve().parents[2]

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Output = pytest.CaptureFixture[str]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "tiny.toml")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for number in range(3):
        write_nifti(tmp_path / "scans" / f"p{number}.nii.gz", body(radius=14 + number))
    return tmp_path / "scans"


def train(*words: object) -> int:
    return app.main(["train", *map(str, words), "--threads", "1", "--device", "cpu"])


def column(folder: Path, name: str) -> list[str]:
    with (folder / CURVE).open() as stream:
        return [row[name] for row in csv.DictReader(stream)]


def test_a_run_leaves_checkpoints_curve_and_recipe(
    recipe: Path, scans: Path, tmp_path: Path, capsys: Output
) -> None:
    assert train("--config", recipe, "--data", scans, "-o", tmp_path / "run") == 0
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"last.pt", "best.pt", "curve.csv", "recipe.toml"}
    told = capsys.readouterr()
    assert told.out == ""
    assert "step 4 of 4: loss" in told.err
    assert "left" in told.err


def test_the_same_command_gives_the_same_curve_twice(
    recipe: Path, scans: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        assert train("--config", recipe, "--data", scans, "-o", tmp_path / name, "-q") == 0
    for name in ("loss", "psnr_db"):
        assert column(tmp_path / "a", name) == column(tmp_path / "b", name)


def test_a_resumed_run_needs_no_recipe_and_ends_as_an_undisturbed_one(
    recipe: Path, scans: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train("--config", recipe, "--data", scans, "-o", whole, "-q") == 0
    assert train("--config", recipe, "--data", scans, "-o", broken, "--until", 2, "-q") == 0
    assert train("--data", scans, "-o", broken, "--resume", "last", "-q") == 0
    assert column(whole, "loss") == column(broken, "loss")


def test_another_run_is_not_overwritten(
    recipe: Path, scans: Path, tmp_path: Path, capsys: Output
) -> None:
    words = ("--config", recipe, "--data", scans, "-o", tmp_path / "run", "--until", 1)
    assert train(*words) == 0
    capsys.readouterr()
    assert train(*words) == 5
    assert "already contains a run. Continue it with --resume last" in capsys.readouterr().err


def test_pairs_are_learned_from_and_their_partitions_kept(recipe: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "study")
    assert train("--config", recipe, "--data", tmp_path / "study", "-o", tmp_path / "run") == 0
    assert list((tmp_path / "run" / "partitions").glob("*.npz"))


def test_scans_without_a_partner_are_named(recipe: Path, tmp_path: Path, capsys: Output) -> None:
    write_pairs(tmp_path / "study", patients=2)
    write_nifti(tmp_path / "study" / "full" / "p9.nii.gz", body())
    words = ("--config", recipe, "--data", tmp_path / "study", "-o", tmp_path / "run")
    assert train(*words, "--until", 1) == 0
    assert "1 of 3 scans in full/ have no partner in low/ and are not used: p9" in (
        capsys.readouterr().err
    )


def test_losses_are_chosen_on_the_command_line(recipe: Path, scans: Path, tmp_path: Path) -> None:
    base = ("--config", recipe, "--data", scans, "--until", 1, "-q")
    choices = {"a": (), "b": ("--beta", 0), "c": ("--charbonnier", 0.1), "d": ("--set", "seed=3")}
    for name, words in choices.items():
        assert train(*base, "-o", tmp_path / name, *words) == 0
    assert len({column(tmp_path / name, "loss")[0] for name in choices}) == len(choices)


def test_installed_weights_are_tuned_published_and_restore(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    write_pairs(tmp_path / "study")
    run = tmp_path / "run"
    words = [f"--set={word}" for word in ("steps=2", "pool=2", "batch=1", "patch=32")]
    study = ("--data", tmp_path / "study", "-o", run)
    assert train("-t", "ct-denoise", "--from", "ct-denoise", *study, *words) == 0
    capsys.readouterr()
    assert train("-o", run, "--publish", "mine", "--into", tmp_path / "home") == 0
    made = Path(capsys.readouterr().out.strip())
    assert made.is_file()
    listed = tomllib.loads((made.parent / "registry.toml").read_text())["mine"]
    assert listed["licence"] == "not stated"
    assert "weights ct-denoise" in listed["data"]
    whole = made.read_bytes()
    again = ("--publish", "mine", "--into", tmp_path / "home", "--summary", "another")
    assert train("-o", run, *again) == 5
    assert "weights named 'mine' exist already" in capsys.readouterr().err
    assert made.read_bytes() == whole
    monkeypatch.setenv("RAT_HOME", str(made.parent))
    low, restored = tmp_path / "study" / "low" / "p0.nii.gz", tmp_path / "out.nii.gz"
    asked = ["restore", str(low), "-t", "ct-denoise", "--weights", "mine", "-o", str(restored)]
    assert app.main([*asked, "--threads", "1", "--device", "cpu"]) == 0
    before, after = (np.asarray(nib.load(path).dataobj) for path in (low, restored))
    assert before.shape == after.shape
    assert not np.array_equal(before, after)


def test_a_profile_is_a_table_on_stdout_and_keeps_nothing(
    recipe: Path, scans: Path, tmp_path: Path, capsys: Output
) -> None:
    words = ("--config", recipe, "--data", scans, "-o", tmp_path / "run", "--profile")
    assert train(*words) == 0
    told = capsys.readouterr().out
    assert all(part in told for part in ("forward", "backward", "data (examples and patches)"))
    assert not (tmp_path / "run" / "last.pt").exists()


def test_events_for_tensorboard_are_written(recipe: Path, scans: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    words = ("--config", recipe, "--data", scans, "-o", tmp_path / "run", "--tensorboard")
    assert train(*words, "--until", 2) == 0
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert b"psnr_db" in events.read_bytes()


def test_a_signal_ends_the_run_with_a_checkpoint(
    recipe: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    draw = PatchFeed.draw

    def interrupted(self: PatchFeed, step: int) -> object:
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(self, step)

    monkeypatch.setattr(PatchFeed, "draw", interrupted)
    assert train("--config", recipe, "--data", scans, "-o", tmp_path / "run") == 130
    assert "stopped at step 2; --resume last continues" in capsys.readouterr().err
    assert (tmp_path / "run" / "last.pt").exists()


def test_python_trains_as_the_command_line_does(recipe: Path, scans: Path, tmp_path: Path) -> None:
    assert train("--config", recipe, "--data", scans, "-o", tmp_path / "words", "-q") == 0
    heard: list[int] = []

    class Hears(TrainListener):
        def step(self, done: StepDone) -> None:
            heard.append(done.step)

    result = ratcli.train(
        recipe=str(recipe), data=scans, out=tmp_path / "python", threads=1, device="cpu",
        listener=Hears(),
    )  # fmt: skip
    assert column(tmp_path / "python", "loss") == column(tmp_path / "words", "loss")
    assert (result.steps, heard) == (4, [1, 2, 3, 4])
    assert result.checkpoint == tmp_path / "python" / "last.pt"
    assert f"{result.best_psnr_db:.6g}" in column(tmp_path / "python", "psnr_db")


def test_a_listener_ends_a_run_that_can_be_resumed(
    recipe: Path, scans: Path, tmp_path: Path
) -> None:
    class Ends(TrainListener):
        def wants_end(self) -> bool:
            return True

    how = {"recipe": str(recipe), "data": scans, "out": tmp_path / "run", "threads": 1}
    with pytest.raises(KeyboardInterrupt):
        ratcli.train(**how, device="cpu", listener=Ends())
    assert ratcli.train(**how, device="cpu", resume="last").steps == 4


def test_a_recipe_that_comes_with_rat_is_found_by_its_name(
    scans: Path, tmp_path: Path, capsys: Output
) -> None:
    words = ("--data", scans, "-o", tmp_path / "run")
    # It names scans that are not here: it was found and read.
    assert train("--recipe", "ct-denoise", *words) == 3
    assert "there is no 'ct/lidc_idri_0314' in the training data" in capsys.readouterr().err
    assert train("--recipe", "ct-denoize", *words) == 2
    assert "Did you mean ct-denoise?" in capsys.readouterr().err
    assert train("--recipe", "sam-compact", *words) == 2
    assert "python -m research.sam" in capsys.readouterr().err


def test_the_recipes_of_the_examples_in_the_help_are_in_the_wheel(capsys: Output) -> None:
    assert app.main(["train", "--help"]) == 0
    named = re.findall(r"--recipe\s+([a-z-]+)\s", capsys.readouterr().out)
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = content["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["recipes"] == "ratcli/recipes"
    assert "ct-denoise" in named
    assert set(named) <= {path.stem for path in (ROOT / "recipes").glob("*.toml")}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("-t", "ct-denoise"), 2, "--out is missing"),
        (("-o", "run"), 2, "--data is missing"),
        (("-o", "run", "--data", "scans"), 2, "no task was named"),
        (("-o", "run", "--data", "scans", "-t", "ct-denoize"), 2, "no task 'ct-denoize'"),
        (("-o", "run", "--data", "scans", "--resume", "first"), 2, "--resume takes 'last'"),
        (("-o", "run", "--data", "nowhere", "-t", "ct-denoise"), 3, "nowhere does not exist"),
        (("-o", "run", "--data", "scans", "-t", "pet-synthesis"), 4, "do not look like SUV"),
        (
            ("-o", "run", "--data", "scans", "-t", "pet-synthesis", "--config", "tiny.toml"),
            2,
            "a recipe for ct-denoise, not for pet-synthesis",
        ),
        (
            ("-o", "run", "--data", "scans", "--resume", "last"),
            2,
            "there is no training run in run",
        ),
        (("-o", "run", "--publish", "x"), 2, "no folder is named for the published weights"),
        (("-o", "run", "--publish", "x", "--into", "w"), 2, "there is no training run in run"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    words: tuple[str, ...],
    code: int,
    message: str,
    recipe: Path,
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Output,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAT_HOME", raising=False)
    assert train(*words) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
