"""Data-parallel training: two processes equal one with the doubled batch."""

from __future__ import annotations

import csv
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from drawn_examples import Discs
from training_scans import RECIPE

from ratcli.training.checkpoints import CURVE
from ratcli.training.loop import Trainer
from ratcli.training.restoration import RestorationObjective

STEPS = 3


def train(folder: Path, batch: int) -> None:
    torch.set_num_threads(1)
    recipe = replace(RECIPE, steps=STEPS, batch=batch, late_steps=0, pool=4, validate=STEPS)
    held_out = [Discs().make(n) for n in (90, 91, 92)]
    Trainer(recipe, RestorationObjective(recipe, Discs(), held_out), folder, CPU).run()


def join_and_train(rank: int, folder: Path) -> None:
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    train(folder / "two", 1)
    dist.destroy_process_group()


CPU = torch.device("cpu")


def figures(folder: Path) -> list[tuple[float, float]]:
    with (folder / CURVE).open() as stream:
        return [(float(row["loss"]), float(row["psnr_db"])) for row in csv.DictReader(stream)]


@pytest.mark.skipif(not dist.is_gloo_available(), reason="torch is built without gloo")
def test_two_processes_equal_one_with_the_doubled_batch(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=join_and_train, args=(n, tmp_path)) for n in range(2)]
    for process in both:
        process.start()
    train(tmp_path / "one", 2)
    for process in both:
        process.join(timeout=240)
    assert [process.exitcode for process in both] == [0, 0]
    one, two = figures(tmp_path / "one"), figures(tmp_path / "two")
    assert len(two) == STEPS
    # float32 sums in another order
    assert np.allclose(one, two, rtol=1e-4, atol=0, equal_nan=True)
