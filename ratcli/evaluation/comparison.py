"""Scans of the same anatomy, opened to be compared. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ratcli.errors import UnsuitableInputError
from ratcli.evaluation.given_regions import RegionSource
from ratcli.scan import ScanInfo, ScanReader

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

    def check(self) -> None:
        """Refuse scans that do not belong together.

        Raises:
            UnsuitableInputError: other planes, size, channels or unit.
        """
        wanted = replace(self.restored.info, unit=self.tells_unit.info.unit)
        for name, reader in (
            (REFERENCE, self.reference),
            (INPUT, self.input),
            ("uncertainty", self.uncertainty),
        ):
            if reader is not None:
                _check_pair(name, reader.info, wanted, self.scale if name == INPUT else 1)


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


def _size(info: ScanInfo) -> str:
    return f"{info.planes} planes of {info.channels} x {info.height} x {info.width}"
