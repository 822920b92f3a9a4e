"""Training with neighbouring planes: their noise, their absence, and a start from single planes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ratcli.network.neighbours import Neighbour
from ratcli.network.rat import RAT, NetworkSettings
from ratcli.tasks import get_task
from ratcli.training.beside import draw_neighbours
from ratcli.training.ct import CtExamples
from ratcli.training.examples import Example, TargetPlane
from ratcli.training.prepare import widened
from ratcli.training.recipe import Recipe

TASK = get_task("ct-denoise")
NETWORK = NetworkSettings(context=1)


def plane(seed: int, side: int = 128) -> np.ndarray:
    """Soft tissue with noise of 10 HU in air."""
    rows, columns = np.mgrid[:side, :side] - side / 2
    body = np.where(rows**2 + columns**2 < (0.45 * side) ** 2, 40.0, -1000.0)
    return (body + np.random.default_rng(seed).normal(0, 10, body.shape)).astype(np.float32)[None]


def examples(procedural: float, count: int = 24) -> list[Example]:
    near = (Neighbour(plane(1), 2.0), Neighbour(plane(2), 2.0))
    target = TargetPlane("p", plane(0), 0.8, near)
    recipe = Recipe("ct-denoise", NETWORK, seed=3, procedural=procedural, partition="none")
    source = CtExamples(TASK, recipe, [target])
    return [source.make(index) for index in range(count)]


@pytest.mark.parametrize("procedural", [0.0, 1.0])
def test_neighbours_are_sometimes_absent_and_mostly_there(procedural: float) -> None:
    there = [tuple(bool(e.degraded[3 + n].any()) for n in (0, 1)) for e in examples(procedural)]
    assert {(True, True), (False, False)} <= set(there)
    assert np.mean(there) > 0.3


def test_an_absent_neighbour_shows_nothing() -> None:
    for example in examples(0.0):
        for number in (0, 1):
            if not example.degraded[3 + number].any():
                assert not example.degraded[1 + number].any()


def test_the_noise_of_the_neighbours_is_not_that_of_the_target() -> None:
    """A network that averages the planes must not get nearer to the noise of the target."""
    products = []
    for example in examples(0.0, 40):
        if example.degraded[3].any():
            inside = (slice(44, 84), slice(44, 84))
            own, target = example.degraded[0][inside], example.target[0][inside]
            beside = (example.degraded[1] + example.degraded[0])[inside]
            pairs = np.corrcoef([own.ravel(), beside.ravel(), target.ravel()])
            products.append(pairs[2, :2])
    assert np.abs(np.mean(products, 0)).max() < 0.08


def test_drawn_neighbours_differ_more_the_farther_they_are() -> None:
    changes = []
    for gap_mm in (1.0, 3.0, 8.0):
        pairs = [
            draw_neighbours(np.random.default_rng(seed), plane(0)[0], 0.8, gap_mm)
            for seed in range(8)
        ]
        assert all(each.gap_mm == gap_mm for pair in pairs for each in pair)
        changes.append(np.mean([np.abs(a.values - b.values).mean() for a, b in pairs]))
    assert changes[0] < changes[1] < changes[2]


def test_a_widened_network_begins_as_the_one_of_single_planes() -> None:
    torch.manual_seed(0)
    single = RAT(replace(NETWORK, context=0, width=8, groups=(1,))).eval()
    wide = RAT(replace(NETWORK, width=8, groups=(1,))).eval()
    wide.load_state_dict(widened(single.state_dict(), wide.state_dict()))
    image, labels = torch.randn(1, 5, 32, 32), torch.zeros(1, 32, 32, dtype=torch.int32)
    image[:, 1:] = 0
    torch.testing.assert_close(wide(image, labels), single(image[:, :1], labels))
    image[:, 1:3] = 1
    mean = image[:, :1] + 0.05 * image[:, 1:3].sum(1, keepdim=True)
    torch.testing.assert_close(
        wide(image, labels)[..., 4:-4, 4:-4], single(mean, labels)[..., 4:-4, 4:-4],
        atol=0.05, rtol=0,
    )  # fmt: skip
