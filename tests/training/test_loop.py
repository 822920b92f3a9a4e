"""The training loop: seeds, resuming, and learning at all."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drawn_examples import Discs

from ratcli.errors import UnreadableInputError, UsageError
from ratcli.network.rat import NetworkSettings
from ratcli.training.checkpoints import BEST, CHECKPOINT, CURVE, load
from ratcli.training.loop import DivergedError, StepDone, Trainer
from ratcli.training.patches import PatchBatch
from ratcli.training.publish import Published, publish
from ratcli.training.recipe import Recipe
from ratcli.training.restoration import RestorationObjective
from ratcli.weightfiles import read_registry

RECIPE = Recipe(
    task="ct-denoise",
    network=NetworkSettings(
        width=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, window=4
    ),
    seed=7,
    steps=8,
    batch=2,
    patch=32,
    late_steps=2,
    late_batch=1,
    late_patch=48,
    warmup=2,
    learning_rate=2e-3,
    pool=4,
    validate=4,
    precision="fp32",
)
CPU = torch.device("cpu")


def trainer(folder: Path, recipe: Recipe = RECIPE) -> Trainer[PatchBatch]:
    return Trainer(recipe, RestorationObjective(recipe, Discs(), [Discs().make(1000)]), folder, CPU)


def losses(folder: Path) -> list[str]:
    with (folder / CURVE).open() as stream:
        return [row["loss"] for row in csv.DictReader(stream)]


def test_the_same_seed_gives_the_same_curve(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trainer(tmp_path / name).run()
    assert losses(tmp_path / "a") == losses(tmp_path / "b")


def test_a_resumed_run_goes_on_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole, broken = trainer(tmp_path / "whole"), trainer(tmp_path / "broken")
    whole.run()
    broken.run(until=4)
    resumed = trainer(tmp_path / "broken")
    resumed.resume()
    resumed.run()
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    for name, value in whole.average.items():
        assert torch.equal(value, resumed.average[name])


def test_training_lowers_the_error_on_held_out_planes(tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=60, validate=60, late_steps=0, batch=4, ema=0.9)
    learner = trainer(tmp_path, recipe)
    before = learner.validate()
    learner.run()
    assert learner.validate() > before + 1.0


def test_the_best_checkpoint_is_the_one_that_validated_best(tmp_path: Path) -> None:
    learner = trainer(tmp_path)
    scores = iter([20.0, 21.0, 19.0])
    learner.validate = lambda: next(scores)  # type: ignore[method-assign]
    learner.run(until=4)
    learner.run(until=8)
    assert load(tmp_path / BEST, CPU)["step"] == 8
    later = trainer(tmp_path)
    later.resume()
    assert later.best_db == 21.0


def test_rows_that_no_checkpoint_kept_are_dropped(tmp_path: Path) -> None:
    trainer(tmp_path).run(until=4)
    with (tmp_path / CURVE).open("a") as stream:
        stream.write("5,1,1,1,1\n6,1,1,1,1\n")
    later = trainer(tmp_path)
    later.resume()
    assert len(losses(tmp_path)) == 4


def test_a_run_that_is_told_to_stop_keeps_a_checkpoint(tmp_path: Path) -> None:
    learner = trainer(tmp_path)

    def listen(done: StepDone) -> None:
        learner.stop = done.step == 2

    learner.run(listen)
    assert learner.step == 2
    assert load(tmp_path / CHECKPOINT, CPU)["step"] == 2


def test_workers_do_not_change_the_curve(tmp_path: Path) -> None:
    for workers in (0, 2):
        learner = trainer(tmp_path / str(workers))
        learner.workers = workers
        learner.run(until=3)
    assert losses(tmp_path / "0") == losses(tmp_path / "2")


def test_a_checkpoint_holds_what_older_and_newer_versions_resume_from(tmp_path: Path) -> None:
    trainer(tmp_path).run(until=4)
    best = {"average", "step", "psnr_db", "recipe"}
    assert set(load(tmp_path / BEST, CPU)) == best
    more = {"network", "optimiser", "best_db"}
    assert set(load(tmp_path / CHECKPOINT, CPU)) == best | more


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    learner = trainer(tmp_path)
    with torch.no_grad():
        learner.network.intro.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match="nan at step 1"):
        learner.run()
    assert not (tmp_path / CHECKPOINT).exists()


def test_other_settings_than_the_checkpoint_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer(tmp_path).run(until=4)
    trainer(tmp_path, replace(RECIPE, beta=0.5, steps=9)).resume()
    assert "changed since the checkpoint: beta, steps" in caplog.text


def test_the_parts_of_a_step_are_measured_and_nothing_kept(tmp_path: Path) -> None:
    parts = trainer(tmp_path).measure(2)
    assert {"patches", "forward", "backward", "update", "examples"} <= set(parts)
    assert all(seconds >= 0 for seconds in parts.values())
    assert list(tmp_path.iterdir()) == []


def test_the_first_output_is_the_input(tmp_path: Path) -> None:
    example = Discs().make(3)
    network = trainer(tmp_path).network
    degraded, labels = torch.from_numpy(example.degraded)[None], torch.from_numpy(example.labels)
    assert torch.equal(network(degraded, labels[None]), degraded)


def test_resuming_nothing_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no last\.pt"):
        trainer(tmp_path).resume()


def test_a_damaged_checkpoint_is_a_clear_error(tmp_path: Path) -> None:
    trainer(tmp_path).run(until=4)
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(UnreadableInputError, match="damaged"):
        trainer(tmp_path).resume()


def test_a_published_run_is_in_the_registry_beside_others(tmp_path: Path) -> None:
    trainer(tmp_path / "run").run(until=4)
    for name in ("one", "two"):
        file = publish(tmp_path / "run", RECIPE, tmp_path, Published(name, "a test", "MIT"))
        assert file.is_file()
    assert set(read_registry(tmp_path / "registry.toml")) == {"one", "two"}
