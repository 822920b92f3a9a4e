"""Recipes: read, written, changed, and refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from training_scans import RECIPE

from ratcli.errors import UsageError
from ratcli.tasks import TASKS
from ratcli.training.recipe import default_recipe, read_recipe, recipe_text, with_settings

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_a_recipe_comes_back_from_its_text(tmp_path: Path) -> None:
    recipe = replace(RECIPE, train=("a/b", 'c"d'), noise_hu=(5.0, 6.5), final_rate=1e-7)
    (tmp_path / "r.toml").write_text(recipe_text(recipe))
    assert read_recipe(tmp_path / "r.toml") == recipe


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_recipe_of_its_own(task: str) -> None:
    recipe = default_recipe(TASKS[task])
    assert recipe.network.channels == TASKS[task].channels
    assert with_settings(recipe, []) == recipe


def test_settings_are_changed_by_words() -> None:
    changed = with_settings(RECIPE, ["beta=0.001", "late-steps = 3", "partition=none"])
    assert (changed.beta, changed.late_steps, changed.partition) == (0.001, 3, "none")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("betta=1", "betta is not a setting"),
        ("steps=many", "steps is 'many', expected a whole number"),
        ("steps=1.5", r"steps is 1\.5, expected a whole number"),
        ("batch=0", "batch is 0, expected a whole number >= 1"),
        ("precision=fp16", "fp32 or bf16"),
        ("learning_rate=nan", "learning_rate is nan, expected a number"),
        ("noise_hu=[1]", r"noise_hu is \[1\], expected a list of length 2"),
        ("noise_hu=[1,'x']", r"noise_hu\[1\] is 'x', expected a number"),
        ("network=3", "network is 3, expected a table"),
        ("network={width=-4}", "network.width is -4, expected a whole number >= 1"),
        ("network={depth=1}", "network: depth is not a setting"),
        ("network={encoder_blocks=[1]}", "must be equally long"),
        ("seed=true", "seed is True, expected a whole number"),
    ],
)
def test_a_setting_that_cannot_be_is_a_clear_error(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_settings(RECIPE, [words])


def test_a_patch_that_the_scale_does_not_divide_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="patch is not a multiple of 4"):
        with_settings(default_recipe(TASKS["pathology-sr"]), ["patch=98"])


def test_a_patient_on_both_sides_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="both trains on and holds out: a"):
        with_settings(RECIPE, ['train=["a", "b"]', 'held_out=["a"]'])


def test_a_recipe_of_the_compact_sam_is_refused_with_the_command_that_trains_it() -> None:
    with pytest.raises(UsageError, match="which rat train does not train") as caught:
        read_recipe(RECIPES / "sam-compact.toml")
    assert "python -m research.sam --config sam-compact.toml" in caught.value.hint
