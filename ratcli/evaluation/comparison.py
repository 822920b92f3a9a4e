"""Scans of the same anatomy, opened to be compared. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ratcli.errors import UnsuitableInputError
from ratcli.evaluation.given_regions import RegionSource
from ratcli.formats.sampling import refuse_doubtful_white
from ratcli.scan import ScanInfo, ScanReader
from ratcli.tasks import TASKS

_SAME_PLACE = 0.1  # share of a pixel; far more than the rounding of headers
_SAME_DIRECTION = 1e-3  # of cosines; half a pixel at the end of a row of 512

RESTORED, INPUT, REFERENCE = "restored", "input", "reference"


@dataclass(frozen=True)
class Comparison:
    """Scans of the same anatomy, opened.

    Attributes:
        restored: what is evaluated.
        reference: what it should look like, if known.
        input: what it was made from, if known; on the same grid, or on a coarser one.
        regions: to measure in; found automatically where None.
        uncertainty: standard deviation of each restored pixel, in the unit of `restored`.
    """

    restored: ScanReader
    reference: ScanReader | None = None
    input: ScanReader | None = None
    regions: RegionSource | None = None
    uncertainty: ScanReader | None = None

    @property
    def scale(self) -> int:
        """Restored pixels for each pixel and axis of the input, 1 without an input."""
        if self.input is None:
            return 1
        return self.restored.info.height // max(self.input.info.height, 1)

    @property
    def tells_unit(self) -> ScanReader:
        """The scan whose unit counts: the restored one, unless only another one tells its unit."""
        for reader in (self.restored, self.reference, self.input):
            if reader is not None and reader.info.unit is not None:
                return reader
        return self.restored

    def with_unit(self) -> Comparison:
        """Give scans without a unit that of a task, if the values alone tell it, with a notice.

        The unit that `rat restore` finds is found here: in HU, where nothing else is so far
        below 0.
        """
        readers = [scan for scan in (self.input, self.reference, self.restored) if scan is not None]
        if self.tells_unit.info.unit is None and (unit := _unit_from_values(readers[0])):
            notice = f"the files contain no unit, but their values look like {unit}"
            info = self.restored.info
            self.restored.info = replace(  # type: ignore[misc]
                info, unit=unit, notices=(*info.notices, notice)
            )
        return self

    def check(self) -> None:
        """Refuse scans that do not belong together.

        Raises:
            UnsuitableInputError: other planes, size, channels, unit or place, or it is not known
                which number is white.
        """
        for scan in (self.restored, self.reference, self.input):
            if scan is not None:
                refuse_doubtful_white(scan)
        wanted = replace(self.restored.info, unit=self.tells_unit.info.unit)
        for name, reader in (
            (REFERENCE, self.reference),
            (INPUT, self.input),
            ("uncertainty", self.uncertainty),
        ):
            if reader is not None:
                _check_pair(name, reader.info, wanted, self.scale if name == INPUT else 1)


def _unit_from_values(reader: ScanReader) -> str | None:
    """Return the unit of the only kind of scan that has such values; None if there is none."""
    middle = reader.read(reader.info.planes // 2)
    for task in TASKS.values():
        if task.is_found_from_values and task.channels == reader.info.channels:
            try:
                task.check_values(middle)
            except UnsuitableInputError:
                continue
            return task.units[0]
    return None


def _check_pair(name: str, found: ScanInfo, wanted: ScanInfo, scale: int) -> None:
    """Refuse a scan that has another grid or unit than the restored one.

    Raises:
        UnsuitableInputError: it is not.
    """
    sizes = (found.planes, found.channels, found.height * scale, found.width * scale)
    expected = (wanted.planes, wanted.channels, wanted.height, wanted.width)
    if sizes != expected:
        raise UnsuitableInputError(
            f"the {name} has {_size(found)}, but the restored scan has {_size(wanted)}",
            hint="Give the scan with the same planes as the restored one.",
        )
    if None not in (found.unit, wanted.unit) and found.unit != wanted.unit:
        raise UnsuitableInputError(
            f"the {name} is in {found.unit}, but the restored scan is in {wanted.unit}"
        )
    for one, two in zip(found.spacing_mm[1:], wanted.spacing_mm[1:], strict=True):
        if one is not None and two is not None and abs(one / scale - two) > 0.01 * two:
            raise UnsuitableInputError(
                f"pixels of the {name} are {one:.4g} mm apart, expected {two * scale:.4g} mm"
            )
    if scale == 1:
        _check_place(name, found, wanted)


def _check_place(name: str, found: ScanInfo, wanted: ScanInfo) -> None:
    """Refuse a scan whose pixels are at other places in the patient.

    Raises:
        UnsuitableInputError: a plane is shifted or turned, as far as both headers place it.
    """
    if None in (found.origins_mm, wanted.origins_mm, found.directions, wanted.directions):
        return
    shifts = np.subtract(found.origins_mm, wanted.origins_mm)  # type: ignore[arg-type]
    shift_mm = float(np.linalg.norm(shifts, axis=1).max())
    turned = np.abs(np.subtract(found.directions, wanted.directions)).max()  # type: ignore[arg-type]
    if shift_mm > _SAME_PLACE * (wanted.spacing_mm[1] or 1.0) or turned > _SAME_DIRECTION:
        how = f"up to {shift_mm:.1f} mm away" if turned <= _SAME_DIRECTION else "turned"
        raise UnsuitableInputError(
            f"the pixels of the {name} are not where those of the restored scan are: {how}",
            hint="Resample it to the grid of the restored scan, or give the scan that belongs to "
            "it.",
        )


def _size(info: ScanInfo) -> str:
    colours = " in colour" if info.channels > 1 else ""
    planes = "1 plane" if info.planes == 1 else f"{info.planes} planes"
    return f"{planes} of {info.height} x {info.width} pixels{colours}"
