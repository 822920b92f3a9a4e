"""A recipe and its seed decide the curve: from real scans on disk to the last of 200 steps."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_scans import RECIPE, body, write_nifti

from ratcli.training.checkpoints import CURVE
from ratcli.training.prepare import prepare
from ratcli.training.recipe import Recipe, read_recipe, recipe_text

STEPS = 200
SHORT = replace(
    RECIPE,
    steps=STEPS,
    late_steps=40,
    warmup=20,
    validate=100,
    patch=16,
    late_patch=32,
    pool=8,
    train=("one.nii.gz", "two.nii.gz"),
    held_out=("three.nii.gz",),
)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for number, name in enumerate(SHORT.train + SHORT.held_out):
        write_nifti(tmp_path / name, body(side=40, radius=12 + 2 * number, planes=2))
    return tmp_path


def curve(recipe: Recipe, data: Path, folder: Path) -> list[tuple[str, ...]]:
    """Train, and return step, loss, rate and PSNR of every step as they are kept."""
    prepare(recipe, data, folder, torch.device("cpu")).run()
    with (folder / CURVE).open(newline="") as stream:
        return [
            tuple(row[key] for key in ("step", "loss", "rate", "psnr_db"))
            for row in csv.DictReader(stream)
        ]


def test_a_recipe_of_200_steps_gives_the_same_curve_twice(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(recipe_text(SHORT))
    first = curve(read_recipe(tmp_path / "recipe.toml"), scans, tmp_path / "first")
    again = curve(read_recipe(tmp_path / "recipe.toml"), scans, tmp_path / "again")
    assert len(first) == STEPS
    assert first == again


def test_half_precision_gives_the_same_curve_twice_too(scans: Path, tmp_path: Path) -> None:
    half = replace(SHORT, steps=20, late_steps=4, validate=10, precision="bf16")
    assert curve(half, scans, tmp_path / "first") == curve(half, scans, tmp_path / "again")


def test_another_seed_gives_another_curve(scans: Path, tmp_path: Path) -> None:
    few = replace(SHORT, steps=5, late_steps=1)
    first = curve(few, scans, tmp_path / "first")
    other = curve(replace(few, seed=few.seed + 1), scans, tmp_path / "other")
    assert {row[1] for row in first}.isdisjoint(row[1] for row in other)
