"""The words all formats share: facts about a scan, reader, writer, and what a writer records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


class Box(NamedTuple):
    """A rectangle of a plane, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices that cut the box out of the last two axes."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def scaled(self, factor: int) -> Box:
        """Return the same box on a grid `factor` times as fine."""
        return Box(self.top * factor, self.left * factor, self.height * factor, self.width * factor)

    def overlap(self, other: Box) -> Box:
        """Return the part that two boxes share; its height or width is 0 if they share none."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.height, other.top + other.height)
        right = min(self.left + self.width, other.left + other.width)
        return Box(top, left, max(0, bottom - top), max(0, right - left))

    def within(self, outer: Box) -> Box:
        """Return the box in the coordinates of one that holds it."""
        return Box(self.top - outer.top, self.left - outer.left, self.height, self.width)


@dataclass(frozen=True)
class ScanInfo:
    """Facts about a scan, read from headers alone. Holds no path and nothing about a patient.

    Attributes:
        planes: number of planes (slices, frames, pages), at least 1.
        channels: 1 for gray, 3 for RGB.
        height: rows of a plane.
        width: columns of a plane.
        spacing_mm: distance between planes, rows and columns in mm; None if unknown.
        modality: DICOM's code (`CT`, `PT`, `MR`, `SM`), or None if the format has no field for it.
        unit: `HU`, `SUV`, `Bq/ml`, `RGB` (0 to 1), or None if the file does not say.
        bits: bits stored for a sample.
        format: the format's name (`dicom`, `nifti`, `tiff`).
        details: more facts for `rat info`, in the order to print them.
        notices: oddities a user should know (gaps, duplicates, tilt), one sentence each.
        suv_factor: what a PET value is multiplied by to be SUV by body weight; None if the scan
            is no PET scan or its header does not have the facts.
        suv_problem: why a PET scan has no `suv_factor`, such as `the header has no patient weight`;
            empty for every other scan.
        positions_mm: place of each plane along the planes' normal in mm, in the order of the
            planes; None if the format or the header does not say.
        origins_mm: centre of the first pixel of each plane in mm, `(x, y, z)` to the patient's
            left, back and head; None if the header does not place the planes.
        directions: direction cosines of a row and of a column, along the same axes; None as above.
        assumed_white: stored number that is read as 1 although the file does not say that it is
            white: the highest that 16 bits hold; None for all other scans.
        is_localizer: whether the header says that it is a localizer (scout), not slices.
    """

    planes: int
    channels: int
    height: int
    width: int
    spacing_mm: tuple[float | None, float | None, float | None]
    modality: str | None
    unit: str | None
    bits: int
    format: str
    details: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    suv_factor: float | None = None
    suv_problem: str = ""
    positions_mm: tuple[float, ...] | None = None
    origins_mm: tuple[tuple[float, ...], ...] | None = None
    directions: tuple[float, ...] | None = None
    assumed_white: float | None = None
    is_localizer: bool = False


@dataclass(frozen=True)
class Derivation:
    """What was done to a scan: the writer records it, and derives identifiers from it.

    Attributes:
        task: name of the task, as `ct-denoise`.
        description: one sentence for a reader of the file; at most 1000 characters.
        label: a few words for a series description.
        method: `denoise` (same grid), `resample` (finer grid), `simulate` (a degraded scan) or
            `uncertainty` (standard deviations in place of values, which get a scale of their own).
        scale: output pixels for each input pixel and axis.
        version: version of this software.
        weights_sha256: hash of the weights, empty if none were used.
        settings: all that changes the result, for identifiers that a rerun reproduces.
    """

    task: str
    description: str
    label: str
    method: str = "denoise"
    scale: int = 1
    version: str = ""
    weights_sha256: str = ""
    settings: tuple[str, ...] = ()


class ScanReader(Protocol):
    """An open scan. Opening reads headers only; a context manager."""

    @property
    def info(self) -> ScanInfo:
        """Facts about the scan."""

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read a plane, or a box of it, in the scan's unit.

        Returns:
            float32 `(C, H, W)` in `info.unit`; RGB from 0 to 1.

        Raises:
            UnreadableInputError: pixel data are damaged.
        """

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        """Return `(H, W)` of a plane or a box of it, true where there is no measurement."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...


class ScanWriter(Protocol):
    """A scan being written. Its files get their final names when it closes without an error.

    Made from the reader, so that geometry, patient and acquisition survive. Planes may come in
    any order; each must come exactly once, whole or in boxes that cover it.
    """

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write a plane, or a box of the output's grid.

        Args:
            plane: index, as the reader counts.
            values: float32 `(C, H, W)` in the reader's unit, on the output's grid.
            box: where the values belong; None for the whole plane.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...
