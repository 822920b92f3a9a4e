"""In which unit a scan is measured, and by what its values are multiplied for that. No torch here.

The command line, the Python function and the report all ask here, so that they agree.
"""

from __future__ import annotations

from typing import NamedTuple

from ratcli.scan import ScanReader


class MeasuredUnit(NamedTuple):
    """The unit of all figures of a scan.

    Attributes:
        unit: `HU`, `SUV`, `Bq/ml` or `RGB`; None where it is not known.
        factor: what values as the reader gives them are multiplied by.
    """

    unit: str | None
    factor: float


def measured_unit(reader: ScanReader, suv_factor: float | None = None) -> MeasuredUnit:
    """Return the unit in which a scan is measured: SUV for PET where a factor is known.

    Args:
        reader: the open scan.
        suv_factor: SUV for each Bq/ml, as the user gives it; None for that of the header. A factor
            of 1 leaves the unit as it is.
    """
    info = reader.info
    if info.unit in ("HU", "SUV", "RGB") or not (suv_factor or info.suv_factor):
        return MeasuredUnit(info.unit, 1.0)
    factor = suv_factor or info.suv_factor or 1.0
    return MeasuredUnit("SUV" if factor != 1.0 else info.unit, factor)
