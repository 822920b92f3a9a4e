"""A pool of prepared examples: steps draw from it, and some are replaced after every step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

T = TypeVar("T")


class ExamplePool(Generic[T]):
    """Holds examples to draw from.

    What it holds at a step depends on the step alone, so that a resumed run goes on as one that was
    never interrupted.

    Args:
        make: makes the example of an index; the same index gives the same example.
        size: examples held.
        refresh: examples replaced after each step.
        step: step at which the run begins or goes on.
        workers: processes that make examples ahead; 0 makes them in this process.
    """

    def __init__(
        self, make: Callable[[int], T], size: int, refresh: int, step: int = 0, workers: int = 0
    ) -> None:
        self._size, self._refresh, self._next = size, refresh, step * refresh
        self._stream = _ahead(make, self._next, workers)
        self._examples: dict[int, T] = {}
        self._take(size)

    def advance(self) -> None:
        """Replace the oldest examples."""
        self._take(self._refresh)

    def draw(self, rng: np.random.Generator, count: int) -> list[T]:
        """Draw examples, each once if there are enough."""
        chosen = rng.choice(self._size, count, replace=count > self._size)
        return [self._examples[int(slot)] for slot in chosen]

    def _take(self, count: int) -> None:
        for _ in range(count):
            self._examples[self._next % self._size] = next(self._stream)
            self._next += 1


def _ahead(make: Callable[[int], T], first: int, workers: int) -> Iterator[T]:
    """Yield examples from an index on, in order, whichever process makes them."""
    if workers == 0:
        return map(make, itertools.count(first))
    stream = _WorkerStream(make, first)
    return iter(DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=_same))


class _WorkerStream(IterableDataset[T]):
    """The examples that this worker has to make."""

    def __init__(self, make: Callable[[int], T], first: int) -> None:
        self._make, self._first = make, first

    def __iter__(self) -> Iterator[T]:
        worker = get_worker_info()
        offset, step = (worker.id, worker.num_workers) if worker else (0, 1)
        return map(self._make, itertools.count(self._first + offset, step))


def _same(example: Any) -> Any:
    return example
