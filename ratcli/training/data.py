"""Scans to learn from, read from folders; a recipe names them, one entry a patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ratcli.errors import InputNotFoundError, UnreadableInputError, UnsuitableInputError
from ratcli.formats import find_scans, open_scan
from ratcli.scan import FloatArray, ScanReader
from ratcli.task import Task
from ratcli.training.material import CleanPlane

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_MOST_PIXELS = 1 << 26


def read_patients(root: Path, entries: Sequence[str], task: Task) -> list[CleanPlane]:
    """Read every plane of the named scans.

    Args:
        root: folder that the entries are relative to.
        entries: a file or folder each, searched with the folders inside; one entry is one
            patient, slide or source, which is never split over training and validation.
            For tasks in colour, PNG and JPEG files are read too.
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
    pictures = _find_pictures(path) if task.channels == 3 else []
    for picture in pictures:
        yield CleanPlane(entry, _read_picture(picture), 1.0)
    if pictures and not _holds_scans(path):
        return
    for source in find_scans(path, recursive=True):
        with open_scan(source, assume_unit=task.units[0]) as reader:
            yield from _read_scan(reader, entry, task)


def _read_scan(reader: ScanReader, entry: str, task: Task) -> Iterator[CleanPlane]:
    task.check(reader.info)
    spacing = reader.info.spacing_mm[2]
    if spacing is None and task.scale == 1:
        raise UnsuitableInputError(f"a scan in '{entry}' does not tell its pixel spacing")
    factor = np.float32(_unit_factor(reader, entry, task))
    for plane in range(reader.info.planes):
        values = reader.read(plane)
        hidden = np.broadcast_to(reader.padding(plane), values.shape) | ~np.isfinite(values)
        values = np.where(hidden, np.float32(task.window[0]), values * factor)
        yield CleanPlane(entry, values.astype(np.float32), spacing or 1.0)


def _unit_factor(reader: ScanReader, entry: str, task: Task) -> float:
    """Return what values are multiplied by to be in the task's first unit."""
    if reader.info.unit == task.units[0]:
        return 1.0
    factor: float | None = getattr(reader, "suv_factor", None)
    if factor is None:
        raise UnsuitableInputError(
            f"a scan in '{entry}' is in {reader.info.unit}, and its headers lack what "
            f"{task.units[0]} needs"
        )
    return factor


def _find_pictures(path: Path) -> list[Path]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in files if file.is_file() and _head(file).startswith((_PNG, _JPEG))]


def _holds_scans(path: Path) -> bool:
    if path.is_file():
        return False
    try:
        return bool(find_scans(path, recursive=True))
    except InputNotFoundError:
        return False


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(len(_PNG))


def _read_picture(path: Path) -> FloatArray:
    """Read a PNG or JPEG as `(3, H, W)`, 0 to 1; an alpha channel is dropped."""
    import imagecodecs

    try:
        data = path.read_bytes()
        decode = imagecodecs.png_decode if data.startswith(_PNG) else imagecodecs.jpeg8_decode
        samples = np.asarray(decode(data))
    except Exception as error:
        raise UnreadableInputError(f"{path.name} is damaged") from error
    if samples.ndim == 2 or samples.shape[-1] < 3:
        raise UnsuitableInputError(f"{path.name} is gray, but colours are to be learned")
    if samples.shape[0] * samples.shape[1] > _MOST_PIXELS:
        raise UnreadableInputError(f"{path.name} has more than {_MOST_PIXELS} pixels")
    peak = np.float32(np.iinfo(samples.dtype).max)
    rgb = np.moveaxis(samples[..., :3].astype(np.float32) / peak, -1, 0)
    return np.ascontiguousarray(rgb)
