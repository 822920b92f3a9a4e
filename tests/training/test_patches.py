"""Patches: cut from examples, all of one size."""

from __future__ import annotations

import numpy as np
import torch
from drawn_examples import Discs

from ratcli.training.patches import cut_patches


def test_small_planes_are_extended_to_a_patch() -> None:
    batch = cut_patches(np.random.default_rng(0), [Discs().make(n) for n in (0, 1)], 96, 1)
    assert batch.degraded.shape == (2, 1, 96, 96)
    assert batch.labels.shape == (2, 96, 96)


def test_the_parts_of_a_batch_are_the_batch() -> None:
    batch = cut_patches(np.random.default_rng(0), [Discs().make(n) for n in range(4)], 16, 1)
    parts = [batch.part(number, 2) for number in (0, 1)]
    assert torch.equal(torch.cat([part.target for part in parts]), batch.target)
    assert [len(part.labels) for part in parts] == [2, 2]


def test_input_target_and_labels_of_a_patch_show_the_same_place() -> None:
    batch = cut_patches(np.random.default_rng(3), [Discs().make(n) for n in range(6)], 32, 1)
    for degraded, target, labels in zip(batch.degraded, batch.target, batch.labels, strict=True):
        # A disc is one value on a background of 0; the noise has a standard deviation of 0.1.
        assert torch.equal(target[0] != 0, labels == 1)
        assert float((degraded - target).std()) < 0.15
