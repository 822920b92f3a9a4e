"""`rat train` on the command line: how a training proceeds, and the time of its parts."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ratcli.batch.interrupt import Interrupt
from ratcli.cli.console import PLAIN_INTERVAL_S, ConsoleOptions, Progress, say, table
from ratcli.cli.parameters import Verb, app_of
from ratcli.commands.train import TrainListener, train
from ratcli.commands.train_options import TrainOptions

if TYPE_CHECKING:
    from ratcli.training.loop import StepDone

LOG = logging.getLogger("ratcli.cli")


def _run(_: None, options: TrainOptions, console: ConsoleOptions) -> None:
    listener = TrainConsole(console)
    try:
        result = train(options, listener=listener)
    except KeyboardInterrupt:
        if listener.last is not None:
            LOG.warning("stopped at step %d; --resume last continues", listener.last.step)
        raise
    if result.weights is not None:
        name = result.weights.stem
        LOG.info("%s is written; use it with rat restore --weights %s", result.weights.name, name)
        say(str(result.weights))
    elif result.seconds:
        say(*profile_table(result.seconds))
    else:
        LOG.info("step %d is saved in %s", result.steps, result.folder.name)


app = app_of(
    Verb(
        TrainOptions,
        _run,
        "Train a network on scans of full quality or on pairs, or tune an installed one. "
        "No patient is used both for training and for validation.",
        (
            ("rat train --recipe ct-denoise --data scans -o runs/ct", "a recipe of rat"),
            ("rat train --recipe own.toml --data scans -o runs/own", "your own recipe"),
            ("rat train --data scans -o runs/ct --resume last", "continues a run"),
            ("rat train -t ct-denoise --data study -o runs/own", "from pairs of scans"),
            ("rat train -t ct-denoise --from ct-denoise --data study -o runs/own", "tunes"),
            ("rat train -o runs/own --publish my-ct", "for rat restore --weights my-ct"),
            ("torchrun --nproc-per-node 4 --no-python rat train ...", "four GPUs"),
        ),
        argument=None,
        has_config_file=False,
    )
)


class TrainConsole(TrainListener):
    """Shows how far a run has come: lines on stderr, and a bar if it is a terminal.

    The first Ctrl-C or SIGTERM ends the run after the current step, with a checkpoint. A second one
    ends it at once.

    Args:
        options: how much is shown. Of several processes, only the first one shows anything.

    Attributes:
        last: the last step that is done.
    """

    def __init__(self, options: ConsoleOptions) -> None:
        is_follower = int(os.environ.get("RANK", "0")) > 0
        self._options = replace(options, quiet=options.quiet or is_follower)
        self._interrupt = Interrupt(announce=False)
        self._bar: Progress | None = None
        self._first = self._printed = 0.0
        self.last: StepDone | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show progress, and catch signals."""
        self._printed = time.monotonic()
        with Progress(self._options, 1) as bar, self._interrupt:
            self._bar = bar if self._options.has_bar else None
            yield

    def step(self, done: StepDone) -> None:
        """Move the bar; print the figures from time to time and at each validation."""
        is_first = self.last is None
        if is_first:
            self._first = done.step - 1
        self.last = done
        if self._bar is not None:
            self._bar.planes("steps", done.step, done.steps)
        is_time = time.monotonic() - self._printed > PLAIN_INTERVAL_S
        if is_time or done.is_validated or is_first:
            self._printed = time.monotonic()
            self._print(done)

    def wants_end(self) -> bool:
        """Return whether a signal came."""
        try:
            self._interrupt.check()
        except KeyboardInterrupt:
            return True
        return False

    def _print(self, done: StepDone) -> None:
        each = done.seconds / (done.step - self._first)
        psnr = "" if math.isnan(done.psnr_db) else f"psnr {done.psnr_db:.2f} dB, "
        LOG.info(
            "step %d of %d: loss %.5f, rate %.2e, %s%.2f s a step, %s left",
            done.step, done.steps, done.loss, done.rate, psnr, each,
            _duration(each * (done.steps - done.step)),
        )  # fmt: skip


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def profile_table(parts: dict[str, float]) -> list[str]:
    """Return the parts of a step as a table, with the sum of those that prepare data last."""
    whole = sum(parts.values())
    data = parts.get("examples", 0.0) + parts.get("patches", 0.0)
    rows = [*parts.items(), ("step", whole), ("data (examples and patches)", data)]
    cells = [(name, f"{1000 * s:.1f}", f"{100 * s / whole:.1f} %") for name, s in rows]
    return table(("part", "ms", "share"), cells)
