"""TensorBoard: the figures of each step as events, if it is installed."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ratcli.errors import UsageError
from ratcli.training.loop import StepDone, StepListener


def check_installed() -> None:
    """Refuse to go on without TensorBoard.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "TensorBoard is not installed", hint='Install it with `pip install "ratcli[train]"`.'
        )


@contextmanager
def boards(folder: Path, *, is_wanted: bool) -> Iterator[list[StepListener]]:
    """Give the listeners that write events into a run's folder: one if wanted, else none.

    Args:
        folder: of the run.
        is_wanted: whether events are written.
    """
    if not is_wanted:
        yield []
        return
    board = Board(folder / "tensorboard")
    try:
        yield [board]
    finally:
        board.close()


class Board:
    """Writes the figures of steps as TensorBoard events.

    Args:
        folder: of the events.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def __call__(self, done: StepDone) -> None:
        """Write the figures of a step."""
        self._writer.add_scalar("loss", done.loss, done.step)
        self._writer.add_scalar("rate", done.rate, done.step)
        if done.is_validated and not math.isnan(done.psnr_db):
            self._writer.add_scalar("psnr_db", done.psnr_db, done.step)
        if done.is_validated:
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
