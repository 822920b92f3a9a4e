"""Running a training: its device, signals, what is told, where the time goes."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ratcli.cli.console import PLAIN_INTERVAL_S, ConsoleOptions, Progress, say, table

if TYPE_CHECKING:
    import torch

    from ratcli.training.loop import StepDone
    from ratcli.training.prepare import RestorationTrainer

LOG = logging.getLogger("ratcli.cli")


@contextmanager
def together(device: str, threads: int) -> Iterator[torch.device]:
    """Choose the device; under torchrun, meet the other processes and part from them."""
    from ratcli.network.device import choose_device
    from ratcli.training import parallel

    chosen = choose_device(parallel.local_device(device), threads)
    if not parallel.is_started():
        yield chosen
        return
    parallel.join(chosen)
    try:
        yield chosen
    finally:
        parallel.leave()


def run(
    trainer: RestorationTrainer, talk: ConsoleOptions, out: Path, until: int, *, tensorboard: bool
) -> None:
    """Train; a signal ends the run after the step that is under way."""
    from ratcli.training import parallel
    from ratcli.training.board import Board

    is_first = parallel.rank() == 0
    board = Board(out / "tensorboard") if tensorboard and is_first else None
    with Progress(talk, 1) as bar, _stopping(trainer):
        teller = _Teller(talk, bar, trainer.step)

        def tell(reached: StepDone) -> None:
            teller(reached)
            if board is not None:
                board(reached)

        trainer.run(tell, until or None)
    if board is not None:
        board.close()
    if trainer.stop:
        LOG.warning("stopped at step %d; --resume last goes on", trainer.step)
        raise KeyboardInterrupt
    LOG.info("step %d is kept in %s", trainer.step, out.name)


@contextmanager
def _stopping(trainer: RestorationTrainer) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM end the run with a checkpoint; a second one at once."""

    def stop(number: int, _frame: object) -> None:
        if trainer.stop:
            raise KeyboardInterrupt
        trainer.stop = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Teller:
    """Tells how far a run has come: lines on stderr, and a bar where it is a terminal."""

    def __init__(self, talk: ConsoleOptions, bar: Progress, first: int) -> None:
        self._bar = bar if talk.has_bar else None
        self._first = first
        self._told = time.monotonic()

    def __call__(self, reached: StepDone) -> None:
        if self._bar is not None:
            self._bar.planes("steps", reached.step, reached.steps)
        is_time = time.monotonic() - self._told > PLAIN_INTERVAL_S
        if not (is_time or reached.is_validated or reached.step == self._first + 1):
            return
        self._told = time.monotonic()
        each = reached.seconds / (reached.step - self._first)
        psnr = "" if math.isnan(reached.psnr_db) else f"psnr {reached.psnr_db:.2f} dB, "
        LOG.info(
            "step %d of %d: loss %.5f, rate %.2e, %s%.2f s a step, %s left",
            reached.step, reached.steps, reached.loss, reached.rate, psnr, each,
            _duration(each * (reached.steps - reached.step)),
        )  # fmt: skip


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def tell_profile(parts: dict[str, float]) -> None:
    """Print the parts of a step, data first, as a table on stdout."""
    whole = sum(parts.values())
    data = parts.get("examples", 0.0) + parts.get("patches", 0.0)
    rows = [*parts.items(), ("step", whole), ("data (examples and patches)", data)]
    say(
        table(
            ("part", "ms", "share"),
            [(name, f"{1000 * s:.1f}", f"{100 * s / whole:.1f} %") for name, s in rows],
        )
    )
