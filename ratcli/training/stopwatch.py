"""Measures how long the parts of a training step take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the seconds of named parts.

    Args:
        device: a GPU is synchronised at the end of each part, so that its work is counted there.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the block to a part."""
        began = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def reset(self) -> None:
        """Set all times to zero."""
        self.seconds.clear()


class NoStopwatch(Stopwatch):
    """Measures nothing and does not synchronise."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run the block."""
        yield
