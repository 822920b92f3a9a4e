"""Scans to learn from, read from folders; a recipe names them, one entry a patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ratcli.errors import InputNotFoundError, UnsuitableInputError
from ratcli.formats import find_scans, open_scan
from ratcli.task import Task
from ratcli.training.material import CleanPlane


def read_patients(root: Path, entries: Sequence[str], task: Task) -> list[CleanPlane]:
    """Read every plane of the named scans.

    Args:
        root: folder that the entries are relative to.
        entries: a file or folder each, searched with the folders inside; one entry is one
            patient, slide or source, which is never split over training and validation.
        task: checks that the scans fit.

    Raises:
        InputNotFoundError: an entry is missing.
        UnreadableInputError: a scan is damaged.
        UnsuitableInputError: a scan is of another kind, or does not tell its pixel spacing.
    """
    return [plane for entry in entries for plane in _read_entry(root / entry, entry, task)]


def _read_entry(path: Path, entry: str, task: Task) -> Iterator[CleanPlane]:
    if not path.exists():
        raise InputNotFoundError(f"training data lack '{entry}'")
    for source in find_scans(path, recursive=True):
        with open_scan(source, assume_unit=task.units[0]) as reader:
            task.check(reader.info)
            spacing = reader.info.spacing_mm[2]
            if spacing is None and task.scale == 1:
                raise UnsuitableInputError(f"a scan in '{entry}' does not tell its pixel spacing")
            for plane in range(reader.info.planes):
                values = reader.read(plane)
                hidden = np.broadcast_to(reader.padding(plane), values.shape)
                values = np.where(hidden, np.float32(task.window[0]), values)
                yield CleanPlane(entry, values.astype(np.float32), spacing or 1.0)
