"""Scans to learn from: finds them in folders, assigns them to patients, and reads their planes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ratcli.adjacent import adjacent_planes
from ratcli.errors import (
    InputNotFoundError,
    UnsuitableInputError,
)
from ratcli.formats import ScanSource, find_scans, open_scan, split_name
from ratcli.formats.patients import patient_of
from ratcli.network.neighbours import Neighbour
from ratcli.pipeline import check
from ratcli.scan import FloatArray, ScanReader
from ratcli.task import Task
from ratcli.training.examples import TargetPlane
from ratcli.training.plane_store import PlaneStore


@dataclass(frozen=True)
class FoundScan:
    """A scan that was found but not yet read.

    Attributes:
        patient: all scans of one patient are used either for training or for validation.
        key: path below the folder without the suffix; the two scans of a pair have the same key.
        source: the scan.
    """

    patient: str
    key: str
    source: ScanSource


@dataclass(frozen=True)
class PlacedPlane:
    """A plane and its position.

    Attributes:
        plane: its values.
        position_mm: along the normal of the planes; None if the format does not give it.
    """

    plane: TargetPlane
    position_mm: float | None


def read_patients(root: Path, entries: Sequence[str], task: Task) -> list[TargetPlane]:
    """Read every plane of the named scans.

    Args:
        root: folder that the entries are relative to.
        entries: files, or folders that are searched with all folders inside. Each entry is one
            patient, slide or source.
        task: checks that the scans fit.

    Raises:
        InputNotFoundError: an entry is missing.
        UnreadableInputError: a scan is damaged.
        UnsuitableInputError: a scan does not fit the task, or has no pixel spacing.
    """
    return read_scans(find_entries(root, entries), task)


def read_scans(scans: Sequence[FoundScan], task: Task) -> list[TargetPlane]:
    """Read every plane of some scans; planes that do not fit into memory are kept on disk.

    Raises:
        UnreadableInputError: a scan is damaged.
        UnsuitableInputError: a scan does not fit the task, or has no pixel spacing.
    """
    store = PlaneStore()
    return [plane for scan in scans for plane in _read_whole(scan, task, store)]


def _read_whole(scan: FoundScan, task: Task, store: PlaneStore) -> Iterator[TargetPlane]:
    """Read the planes of a scan, each with its neighbours."""
    placed = list(_stored(read_scan(scan, task), store))
    beside = adjacent_planes([each.position_mm for each in placed], 1)
    for each, found in zip(placed, beside, strict=True):
        near = [at and Neighbour(placed[at.plane].plane.values, at.gap_mm) for at in found]
        yield replace(each.plane, neighbours=tuple(near))


def _stored(planes: Iterator[PlacedPlane], store: PlaneStore) -> Iterator[PlacedPlane]:
    for each in planes:
        yield replace(each, plane=replace(each.plane, values=store.keep(each.plane.values)))


def find_entries(root: Path, entries: Sequence[str]) -> list[FoundScan]:
    """List the scans of named entries; each entry is one patient, see `read_patients`.

    Raises:
        InputNotFoundError: an entry is missing or holds no scan.
    """
    return [scan for entry in entries for scan in _find_entry(root, entry)]


def find_patients(root: Path) -> list[FoundScan]:
    """List all scans in a folder, each with its patient.

    What a patient is, `patient_of` says. Links to folders are followed.

    Raises:
        InputNotFoundError: no such folder, or no scan in it.
        UnreadableInputError: a file cannot be read.
    """
    if not root.is_dir():
        raise InputNotFoundError(f"the data folder {root.name} does not exist")
    scans = _scans_below(root, root, "")
    return [replace(scan, patient=patient_of(scan.source, scan.key)) for scan in scans]


def read_scan(scan: FoundScan, task: Task) -> Iterator[PlacedPlane]:
    """Read the planes of a scan in the task's first unit.

    Raises:
        UnreadableInputError: it is damaged.
        UnsuitableInputError: it does not fit the task, or has no pixel spacing.
    """
    try:
        with open_scan(scan.source) as reader:
            spacing, factor = _checked(reader, task)
            positions = reader.info.positions_mm or [None] * reader.info.planes
            for number in range(reader.info.planes):
                values = _values(reader, number, task) * np.float32(factor)
                plane = TargetPlane(scan.patient, values.astype(np.float32), spacing)
                yield PlacedPlane(plane, positions[number])
    except UnsuitableInputError as error:  # whose hint names options of other commands
        name, hint = Path(scan.key).name, "Take it out, or convert it to a file that says it."
        raise UnsuitableInputError(f"{name}: {error}", hint=hint) from error


def _find_entry(root: Path, entry: str) -> list[FoundScan]:
    if not (root / entry).exists():
        raise InputNotFoundError(f"there is no '{entry}' in the training data")
    return [replace(scan, patient=entry) for scan in _scans_below(root / entry, root, entry)]


def _scans_below(path: Path, root: Path, patient: str) -> list[FoundScan]:
    """List the scans below a path."""
    scans = (scan for scan in find_scans(path, recursive=True) if not scan.is_localizer)
    return [FoundScan(patient, _scan_key(scan, root), scan) for scan in scans]


def _key(file: Path, root: Path) -> str:
    folder = _below(file.parent, root)
    return (folder / split_name(file)[0].removesuffix(file.suffix)).as_posix()


def _scan_key(scan: ScanSource, root: Path) -> str:
    if not scan.is_folder or scan.files[0] != scan.paths[0]:
        return _key(scan.files[0], root)
    folder = _below(scan.folder, root)
    number = re.search(r"_series\d+$", scan.name)
    return folder.as_posix() + (number.group() if number else "")


def _below(folder: Path, root: Path) -> Path:
    folder, root = folder.absolute(), root.absolute()
    return folder.relative_to(root) if folder.is_relative_to(root) else Path()


def _checked(reader: ScanReader, task: Task) -> tuple[float, float]:
    """Check that a scan fits; return its spacing in mm and the factor to the task's unit."""
    check(task, reader)
    spacing = reader.info.spacing_mm[2]
    if spacing is None and task.scale == 1:
        raise UnsuitableInputError("the scan has no pixel spacing")
    return spacing or 1.0, task.unit_factor(reader.info)


def _values(reader: ScanReader, plane: int, task: Task) -> FloatArray:
    """Read a plane; padding and values that are not finite become the task's lowest value."""
    values = reader.read(plane)
    hidden = np.broadcast_to(reader.padding(plane), values.shape) | ~np.isfinite(values)
    return np.where(hidden, np.float32(task.window[0]), values)
