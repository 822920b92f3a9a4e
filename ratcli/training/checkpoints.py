"""A run on disk: its last and best checkpoints, and its curve."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ratcli.errors import OutputError, UnreadableInputError, UsageError

CHECKPOINT = "last.pt"
BEST = "best.pt"
CURVE = "curve.csv"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint under a temporary name, and rename it when it is complete.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or "is the disk full?"
        raise OutputError(f"the checkpoint {path.name} cannot be written: {reason}") from error


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint without running any code that it may hold.

    Raises:
        UsageError: there is none.
        UnreadableInputError: it is damaged.
    """
    if not path.is_file():
        raise UsageError(f"there is no {path.name} to resume from in {path.parent.name}")
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise UnreadableInputError(f"{path.name} is damaged") from error
    return state


class Curve:
    """The figures of all steps in a CSV file, one row for each step.

    Args:
        path: the file; new rows are appended.
        columns: names of the figures, `step` first.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = tuple(columns)

    def cut_after(self, step: int) -> None:
        """Drop the rows after a step: no checkpoint has them, so these steps will run again."""
        if not self._path.is_file():
            return
        with self._path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
        kept = [row for row in rows[1:] if row and row[0].isdigit() and int(row[0]) <= step]
        self._write(rows[:1] + kept, "w")

    def add(self, step: int, figures: Sequence[float]) -> None:
        """Append the figures of a step.

        Raises:
            OutputError: the file cannot be written.
        """
        row = [str(step), *(f"{figure:.6g}" for figure in figures)]
        is_new = not self._path.exists()
        self._write([list(self._columns), row] if is_new else [row], "a")

    def _write(self, rows: Sequence[Sequence[str]], mode: str) -> None:
        try:
            with self._path.open(mode, newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows(rows)
        except OSError as error:
            raise OutputError(f"{self._path.name} cannot be written: {error.strerror}") from error
