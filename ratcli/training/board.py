"""TensorBoard, where it is installed."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

from ratcli.errors import UsageError
from ratcli.training.loop import StepDone


def check_installed() -> None:
    """Refuse to go on without TensorBoard.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "TensorBoard is not installed", hint='`pip install "ratcli[train]"` brings it.'
        )


class Board:
    """Writes what a run reaches as TensorBoard events.

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
