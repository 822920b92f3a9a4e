"""Task: what a restoration expects, how its intensities map to the network, its defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ratcli.errors import UnsuitableInputError
from ratcli.scan import BoolArray, FloatArray, ScanInfo

_SUV_HINT = "Give the factor from the values to SUV by body weight with --suv-factor."


@dataclass(frozen=True)
class Task:
    """Facts about a restoration task.

    The network sees `(value - offset) / gain`; only values inside `window` are restored, the
    others come back untouched.

    Attributes:
        name: as on the command line.
        summary: one line for help texts.
        scans: what it restores, in words.
        modalities: DICOM codes that the task accepts.
        found_from: those of them that tell that a scan is for this task, if none is named.
        units: accepted units; the first is the one the intensity map is made for.
        channels: channels of a plane.
        scale: output pixels for each input pixel and axis.
        window: lowest and highest value that the network may change, in the first unit.
        offset: value that maps to 0.
        gain: step that maps to 1.
        plausible: range in which the smallest value of a scan without a unit must lie, and the
            least range its values must span; guards against scans in other units.
        highest: most that the values of a scan without a unit may reach.
        partition: name of the default partition.
        weights: name of the default weights.
        method: what the task does to the grid, see `Derivation.method`.
        label: words for a series description.
        is_found_from_values: whether the plausible values alone tell that a scan is for this task.
    """

    name: str
    summary: str
    scans: str
    modalities: tuple[str, ...]
    found_from: tuple[str, ...]
    units: tuple[str, ...]
    channels: int
    scale: int
    window: tuple[float, float]
    offset: float
    gain: float
    plausible: tuple[float, float, float]
    partition: str
    weights: str
    method: str
    label: str
    highest: float = math.inf
    is_found_from_values: bool = False

    def normalise(self, values: FloatArray) -> FloatArray:
        """Map native values to the network's; those outside the window are clipped to it."""
        low, high = self.window
        clipped: FloatArray = np.clip(values, low, high).astype(np.float32)
        normal: FloatArray = (clipped - np.float32(self.offset)) / np.float32(self.gain)
        return normal

    def denormalise(self, values: FloatArray) -> FloatArray:
        """Map the network's values back to native ones, inside the window."""
        low, high = self.window
        native: FloatArray = values * np.float32(self.gain) + np.float32(self.offset)
        clipped: FloatArray = np.clip(native, low, high).astype(np.float32)
        return clipped

    def outside(self, values: FloatArray) -> BoolArray:
        """Return true where a native value is outside the window or not finite."""
        low, high = self.window
        return ~((values >= low) & (values <= high))

    def check_modality(self, modality: str) -> None:
        """Refuse a modality that this task is not for.

        Raises:
            UnsuitableInputError: it is another one.
        """
        if modality not in self.modalities:
            raise UnsuitableInputError(
                f"modality is {modality}, but {self.name} restores {self.scans}",
                hint="Choose the task that fits the scan; `rat info FILE` names it.",
            )

    def check(self, info: ScanInfo) -> None:
        """Refuse a scan whose header tells that this task is not for it.

        Raises:
            UnsuitableInputError: other modality, unit or channels.
        """
        if info.modality is not None:
            self.check_modality(info.modality)
        if info.channels != self.channels:
            raise UnsuitableInputError(
                f"planes have {info.channels} channels, but {self.name} takes {self.channels}"
            )
        converts = "SUV" in self.units and info.suv_factor is not None
        if info.unit is not None and info.unit not in self.units and not converts:
            problem = f"; {info.suv_problem}" if info.suv_problem else ""
            raise UnsuitableInputError(
                f"values are in {info.unit}, but {self.name} takes "
                f"{' or '.join(self.units)}{problem}",
                hint=_SUV_HINT if "SUV" in self.units and info.modality == "PT" else "",
            )

    def is_convertible(self, info: ScanInfo) -> bool:
        """Return whether the values of a scan can be converted to the task's first unit."""
        return info.unit in (None, self.units[0]) or info.suv_factor is not None

    def unit_factor(self, info: ScanInfo) -> float:
        """Return what a scan's values are multiplied by to be in the task's first unit.

        Raises:
            UnsuitableInputError: the header does not have what the conversion needs.
        """
        if info.unit in (None, self.units[0]):
            return 1.0
        if info.suv_factor is None:
            problem = info.suv_problem or f"the file does not say how to convert to {self.units[0]}"
            raise UnsuitableInputError(f"values are in {info.unit}, but {problem}", hint=_SUV_HINT)
        return info.suv_factor

    def check_values(self, values: FloatArray) -> None:
        """Refuse values that cannot be in the task's unit; for scans that do not tell theirs.

        Args:
            values: some planes of the scan, any shape.

        Raises:
            UnsuitableInputError: the range is not that of the unit.
        """
        finite = self._without_padding(values[np.isfinite(values)])
        if finite.size == 0:
            raise UnsuitableInputError("the scan contains no finite value")
        lowest, highest = float(finite.min()), float(finite.max())
        if highest > self.highest and self.channels > 1:
            raise UnsuitableInputError(
                f"values reach {highest:g}, but {self.units[0]} reaches {self.window[1]:g}",
                hint="Give the number that is white with --full-scale.",
            )
        least, most, span = self.plausible
        in_range = least <= lowest <= most and highest <= self.highest
        if not (in_range and highest - lowest >= span):
            raise UnsuitableInputError(
                f"values from {lowest:g} to {highest:g} do not look like {self.units[0]}, "
                f"and nothing says what their unit is",
                hint=f"If they are in {self.units[0]}, give --unit {self.units[0]}."
                + (" If they are in Bq/ml, give --suv-factor." if "SUV" in self.units else ""),
            )

    def _without_padding(self, values: FloatArray) -> FloatArray:
        """Leave out a single number below the window, which stands for no measurement."""
        inside = values[values >= self.window[0]]
        below = values[values < self.window[0]]
        is_padding = inside.size > 0 and below.size > 0 and below.min() == below.max()
        return inside if is_padding else values
