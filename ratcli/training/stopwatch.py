"""Where the time of training goes, part by part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the seconds of named parts.

    Args:
        device: waited for at the end of each part, so that its work counts where it was asked
            for.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what runs inside towards a part."""
        began = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def reset(self) -> None:
        """Forget what was counted."""
        self.seconds.clear()


class NoStopwatch(Stopwatch):
    """Counts nothing and waits for nothing."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run what is inside."""
        yield
