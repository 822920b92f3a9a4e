"""Pairs of scans: low quality in the folder `low/`, the same scan in full quality in `full/`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ratcli.errors import UnsuitableInputError
from ratcli.formats import open_scan
from ratcli.partition import Partitioner
from ratcli.scan import FloatArray
from ratcli.task import Task
from ratcli.training.data import FoundScan, PlacedPlane, find_patients, read_scan
from ratcli.training.examples import Example, PatientPlanes, TargetPlane, make_example
from ratcli.training.plane_store import PlaneStore
from ratcli.training.recipe import Recipe

LOG = logging.getLogger("ratcli.training")

LOW, FULL = "low", "full"

# Planes whose positions differ by less than this, in mm, show the same plane.
_SAME_MM = 0.2
# Full and low dose of the same plane correlate far more than this, different planes less.
_LEAST_CORRELATION = 0.5


@dataclass(frozen=True)
class Pair:
    """Two scans of one patient, not yet read."""

    low: FoundScan
    full: FoundScan

    @property
    def patient(self) -> str:
        """All scans of one patient are used either for training or for validation."""
        return self.full.patient

    @property
    def name(self) -> str:
        """The file or folder, for messages."""
        return Path(self.low.key).name or LOW


@dataclass(frozen=True)
class PairedPlane:
    """A plane of low quality, `(C, h, w)` in the task's unit, and the same of full quality."""

    low: FloatArray
    full: TargetPlane


class PairExamples:
    """Examples from pairs; each patient is drawn equally often.

    Args:
        task: the task.
        recipe: its seed.
        planes: at least one.
        partitioner: finds the regions of the low planes.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        planes: Sequence[PairedPlane],
        partitioner: Partitioner,
    ) -> None:
        self._task, self._recipe, self._partitioner = task, recipe, partitioner
        self._low = {id(pair.full): pair.low for pair in planes}
        self._patients = PatientPlanes([pair.full for pair in planes])

    def make(self, index: int) -> Example:
        """Return the example of an index."""
        rng = np.random.default_rng((self._recipe.seed, index))
        full = self._patients.draw_evenly(rng)
        return make_example(self._task, self._partitioner, self._low[id(full)], full)


def is_paired(root: Path) -> bool:
    """Tell whether a data folder holds pairs."""
    return (root / LOW).is_dir() and (root / FULL).is_dir()


def find_pairs(root: Path, task: Task) -> list[Pair]:
    """Match the scans of `low/` and `full/` by name, or else by the positions of DICOM planes.

    Raises:
        InputNotFoundError: a folder has no scan.
        UnsuitableInputError: a scan has no partner.
    """
    low, full = (find_patients(root / part) for part in (LOW, FULL))
    if len(low) == len(full) == 1:
        return [Pair(low[0], full[0])]
    named = {piece.key: piece for piece in full}
    pairs = [Pair(piece, named[piece.key]) for piece in low if piece.key in named]
    taken = {pair.low.key for pair in pairs}
    left = [piece for piece in low if piece.key not in taken]
    spare = [piece for piece in full if piece.key not in taken]
    pairs += _match_by_position(left, spare)
    used = {pair.full.key for pair in pairs}
    if alone := [Path(piece.key).name for piece in full if piece.key not in used]:
        LOG.warning(
            "%d of %d scans in full/ have no partner in low/ and are not used: %s",
            len(alone), len(full), ", ".join(alone),
        )  # fmt: skip
    return pairs


def read_pairs(pairs: Sequence[Pair], task: Task) -> list[PairedPlane]:
    """Read pairs and match their planes.

    Raises:
        UnreadableInputError: a scan is damaged.
        UnsuitableInputError: two scans do not fit together, or one does not fit the task.
    """
    store = PlaneStore()

    def kept(plane: PairedPlane) -> PairedPlane:
        full = replace(plane.full, values=store.keep(plane.full.values))
        return PairedPlane(store.keep(plane.low), full)

    return [kept(plane) for pair in pairs for plane in _read_pair(pair, task)]


def _read_pair(pair: Pair, task: Task) -> Iterator[PairedPlane]:
    low, full = (list(read_scan(piece, task)) for piece in (pair.low, pair.full))
    matched = _match_planes(pair, low, full)
    for mine, other in matched:
        _check_sizes(pair, mine.plane, other.plane, task)
    _check_likeness(pair, *matched[len(matched) // 2], task)
    for mine, other in matched:
        yield PairedPlane(mine.plane.values, other.plane)


def _match_planes(
    pair: Pair, low: list[PlacedPlane], full: list[PlacedPlane]
) -> list[tuple[PlacedPlane, PlacedPlane]]:
    """Match planes by position if both scans have positions, or else by number."""
    at = {round(read.position_mm / _SAME_MM): read for read in full if read.position_mm is not None}
    if len(at) == len(full) and all(read.position_mm is not None for read in low):
        matched = [(read, other) for read in low if (other := _nearest(at, read)) is not None]
        if not matched:
            raise UnsuitableInputError(
                f"no plane of {pair.name} in low/ has the position of a plane in full/"
            )
        return matched
    if len(low) != len(full):
        raise UnsuitableInputError(
            f"{pair.name} has {len(low)} planes in low/, but {len(full)} in full/"
        )
    return list(zip(low, full, strict=True))


def _nearest(at: dict[int, PlacedPlane], read: PlacedPlane) -> PlacedPlane | None:
    place = (read.position_mm or 0.0) / _SAME_MM
    near = [at[cell] for cell in (round(place) - 1, round(place), round(place) + 1) if cell in at]
    near = [other for other in near if abs((other.position_mm or 0.0) / _SAME_MM - place) <= 1]
    return min(
        near, key=lambda other: abs((other.position_mm or 0.0) / _SAME_MM - place), default=None
    )


def _check_sizes(pair: Pair, low: TargetPlane, full: TargetPlane, task: Task) -> None:
    wanted = tuple(side * task.scale for side in low.values.shape[1:])
    found = full.values.shape[1:]
    if found != wanted:
        raise UnsuitableInputError(
            f"{pair.name} has planes of {found[0]} x {found[1]} pixels in full/, but those in low/ "
            f"need {wanted[0]} x {wanted[1]}"
        )


def _check_likeness(pair: Pair, low: PlacedPlane, full: PlacedPlane, task: Task) -> None:
    """Refuse two scans that are identical, or that show different anatomy."""
    scale = task.scale
    seen = task.normalise(low.plane.values)
    clean = task.normalise(full.plane.values)[:, scale // 2 :: scale, scale // 2 :: scale]
    if scale == 1 and np.array_equal(seen, clean):
        raise UnsuitableInputError(f"{pair.name} is the same in low/ and in full/")
    if min(float(seen.std()), float(clean.std())) == 0:
        return
    likeness = float(np.corrcoef(seen.ravel(), clean.ravel())[0, 1])
    if likeness < _LEAST_CORRELATION:
        raise UnsuitableInputError(
            f"{pair.name} does not show the same in low/ and in full/ "
            f"(correlation {likeness:.2f}, expected above {_LEAST_CORRELATION:g})",
            hint="Give both scans of a pair the same name, and the same order of planes.",
        )


def _match_by_position(low: list[FoundScan], full: list[FoundScan]) -> list[Pair]:
    """Match DICOM scans whose planes have the same positions."""
    places = {piece.key: _places(piece) for piece in (*low, *full)}
    pairs = []
    for piece in low:
        partners = [other for other in full if _is_match(piece, other, places)]
        if len(partners) != 1:
            found = "no scan" if not partners else f"{len(partners)} scans"
            raise UnsuitableInputError(
                f"{Path(piece.key).name} in low/ fits {found} in full/, neither by name nor by "
                f"the positions of its planes",
                hint="Give both scans of a pair the same name.",
            )
        pairs.append(Pair(piece, partners[0]))
    return pairs


def _is_match(low: FoundScan, full: FoundScan, places: dict[str, frozenset[int]]) -> bool:
    mine, other = places[low.key], places[full.key]
    return low.patient == full.patient and 2 * len(mine & other) > len(mine)


def _places(piece: FoundScan) -> frozenset[int]:
    """Return positions in whole mm; none for scans without positions."""
    if piece.source.format != "dicom":
        return frozenset()
    with open_scan(piece.source) as reader:
        return frozenset(round(at) for at in reader.info.positions_mm or ())
