"""Named windows, over which images are compared, and the unit in which a scan is measured.

No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from ratcli.errors import UnsuitableInputError, UsageError
from ratcli.scan import ScanInfo, ScanReader
from ratcli.task import Task
from ratcli.tasks import TASKS

RealArray = npt.NDArray[np.float64]

_LUMA_WEIGHTS = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Window:
    """A range of native values over which images are scored.

    Attributes:
        name: as on the command line.
        low: lowest value; lower ones are clipped to it.
        high: highest value.
        unit: unit of both, as in `ScanInfo.unit`.
        luma: score the luma of RGB (ITU-R BT.601, full range) instead of its three channels.
    """

    name: str
    low: float
    high: float
    unit: str
    luma: bool = False

    @property
    def data_range(self) -> float:
        """Width of the window: the peak of PSNR and the dynamic range of SSIM."""
        return self.high - self.low

    def clip(self, plane: npt.NDArray[np.generic]) -> RealArray:
        """Return `(C, H, W)` float64 clipped to the window, `(1, H, W)` where luma is scored."""
        values = np.asarray(plane, dtype=np.float64)
        if values.ndim == 2:
            values = values[None]
        if self.luma:
            values = np.einsum("chw,c->hw", values, np.asarray(_LUMA_WEIGHTS))[None]
        return np.clip(values, self.low, self.high)

    def __str__(self) -> str:
        return f"{self.name} [{self.low:g}, {self.high:g}] {self.unit}"


WINDOWS: dict[str, Window] = {
    window.name: window
    for window in (
        Window("ct-full", -1024.0, 3072.0, "HU"),
        Window("ct-soft", -160.0, 240.0, "HU"),
        Window("ct-lung", -1350.0, 150.0, "HU"),
        Window("pet-full", 0.0, 20.0, "SUV"),
        Window("pet-tissue", 0.0, 5.0, "SUV"),
        # Air around the patient has hardly any noise, so it is measured in warm tissue.
        Window("pet-warm", 0.3, 20.0, "SUV"),
        Window("rgb", 0.0, 1.0, "RGB"),
        Window("rgb-y", 0.0, 1.0, "RGB", luma=True),
    )
}

_WINDOWS_OF_UNIT: dict[str, tuple[str, ...]] = {
    "HU": ("ct-full", "ct-soft", "ct-lung"),
    "SUV": ("pet-full", "pet-tissue"),
    "RGB": ("rgb", "rgb-y"),
}


def windows_of(unit: str | None) -> tuple[Window, ...]:
    """Return the windows in which a scan of that unit is scored by default; none if unknown."""
    return tuple(WINDOWS[name] for name in _WINDOWS_OF_UNIT.get(unit or "", ()))


def parse_window(text: str, unit: str) -> Window:
    """Return a named window, or one from two numbers as `-160,240`.

    Raises:
        UsageError: neither a known name nor a rising pair of numbers.
    """
    if text in WINDOWS:
        return WINDOWS[text]
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            f"'{text}' is not a window; expected LOW,HIGH or a name",
            hint=f"Named windows: {', '.join(WINDOWS)}.",
        )
    return Window(f"{low:g}..{high:g}", low, high, unit)


def refuse_unknown_unit(info: ScanInfo) -> NoReturn:
    """Say why the values of a scan have no window, in the words of `rat restore`.

    Raises:
        UnsuitableInputError: they are in a unit that the task for such scans does not take, or in
            an unknown one.
    """
    for task in TASKS.values():
        if info.modality in task.found_from or info.unit in task.units:
            refuse_without_factor(task, info)
    found = f"no window is known for values in {info.unit}" if info.unit else ""
    raise UnsuitableInputError(
        found or "nothing says what the unit of the values is",
        hint="Give --unit HU or --unit SUV, --suv-factor for activity, or --window LOW,HIGH.",
    )


def refuse_without_factor(task: Task, info: ScanInfo) -> None:
    """Refuse a scan whose values cannot be converted to the unit of a task, as `rat restore` does.

    Raises:
        UnsuitableInputError: they cannot.
    """
    task.check(info)
    task.unit_factor(info)


class MeasuredUnit(NamedTuple):
    """The unit of all figures of a comparison.

    Attributes:
        unit: `HU`, `SUV`, `Bq/ml` or `RGB`; None where it is not known.
        factor: what values are multiplied by if their scan does not tell its own factor.
    """

    unit: str | None
    factor: float

    def factor_of(self, reader: ScanReader) -> float:
        """Return what the values of a scan are multiplied by to be in the unit."""
        own = measured_unit(reader)
        return own.factor if own.unit == self.unit else self.factor


def measured_unit(reader: ScanReader) -> MeasuredUnit:
    """Return the unit in which an open scan is measured: SUV for PET where a factor is known."""
    info = reader.info
    if info.unit in ("HU", "SUV", "RGB") or info.suv_factor is None:
        return MeasuredUnit(info.unit, 1.0)
    return MeasuredUnit("SUV", info.suv_factor)
