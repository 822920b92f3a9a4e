"""The pool of examples: what it holds depends on the step alone."""

from __future__ import annotations

import numpy as np
from drawn_examples import Discs

from ratcli.training.pool import ExamplePool


def test_the_pool_at_a_step_does_not_depend_on_where_the_run_began() -> None:
    begun, resumed = ExamplePool(Discs().make, 4, 1), ExamplePool(Discs().make, 4, 1, step=3)
    for _ in range(3):
        begun.advance()
    draws = [pool.draw(np.random.default_rng(1), 4) for pool in (begun, resumed)]
    for one, other in zip(*draws, strict=True):
        assert np.array_equal(one.degraded, other.degraded)


def test_a_pool_draws_each_example_once_if_there_are_enough() -> None:
    pool = ExamplePool(lambda index: index, 5, 2, step=3)
    assert sorted(pool.draw(np.random.default_rng(0), 5)) == [6, 7, 8, 9, 10]
    pool.advance()
    assert sorted(pool.draw(np.random.default_rng(0), 5)) == [8, 9, 10, 11, 12]
    assert len(pool.draw(np.random.default_rng(0), 7)) == 7
