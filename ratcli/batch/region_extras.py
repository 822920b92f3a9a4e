"""What is written beside a region map: pictures of the regions, and a table of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from ratcli.formats.atomic import PartialFile, PartialFolder, output_errors
from ratcli.formats.closing import FinishingWriter
from ratcli.partition.display import draw_regions, soft_picture
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray, ScanInfo

_COLUMNS = ("plane", "region", "pixels", "area_mm2", "mean", "standard_deviation", "unit")


class Previews(FinishingWriter):
    """Pictures of the regions: `<stem>_preview.png`, or a folder of them for a stack.

    Args:
        output: the region map, beside which they stand.
        stem: its name without suffix.
        planes: how many there will be.
        overwrite: whether older ones may be replaced.
    """

    def __init__(self, output: Path, stem: str, planes: int, overwrite: bool) -> None:
        self._partial: PartialFile | PartialFolder
        self._alone = planes == 1
        self._digits = len(str(planes))
        if self._alone:
            path = output.with_name(f"{stem}_preview.png")
            self._partial = PartialFile(path, overwrite=overwrite)
        else:
            path = output.with_name(f"{stem}_preview")
            self._partial = PartialFolder(path, overwrite=overwrite)

    def add(self, plane: int, values: FloatArray, normal: FloatArray, labels: LabelArray) -> None:
        """Draw a plane."""
        import imagecodecs

        drawn = draw_regions(soft_picture(normal), labels)
        place = self._partial.path
        if not self._alone:
            place = place / f"{plane + 1:0{self._digits}d}.png"
        with output_errors(self._partial.final):
            place.write_bytes(imagecodecs.png_encode(drawn))

    def finish(self) -> None:
        """Give the pictures their final names."""
        self._partial.commit()

    def discard(self) -> None:
        """Remove unfinished pictures."""
        self._partial.discard()


class RegionStatistics(FinishingWriter):
    """Area, mean and standard deviation of every region, as CSV.

    Args:
        path: the file.
        info: facts about the scan.
        unit: of the values.
        overwrite: whether an older one may be replaced.
    """

    def __init__(self, path: Path, info: ScanInfo, unit: str, overwrite: bool) -> None:
        self._partial = PartialFile(path, overwrite=overwrite)
        self._unit = unit
        _, row_mm, column_mm = info.spacing_mm
        self._pixel_mm2 = row_mm * column_mm if row_mm and column_mm else None
        self._text = io.StringIO()
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._rows.writerow(_COLUMNS)

    def add(self, plane: int, values: FloatArray, normal: FloatArray, labels: LabelArray) -> None:
        """Add the regions of a plane; planes and regions count from 1, as in the region map."""
        flat, gray = labels.ravel(), values.mean(axis=0, dtype=np.float64).ravel()
        areas = np.bincount(flat)
        total, squares = np.bincount(flat, gray), np.bincount(flat, gray**2)
        for region in np.flatnonzero(areas):
            pixels = int(areas[region])
            mean = total[region] / pixels
            deviation = np.sqrt(max(squares[region] / pixels - mean**2, 0.0))
            area = f"{pixels * self._pixel_mm2:.6g}" if self._pixel_mm2 else ""
            figures = (f"{mean:.6g}", f"{deviation:.6g}", self._unit)
            self._rows.writerow((plane + 1, int(region) + 1, pixels, area, *figures))

    def finish(self) -> None:
        """Write the table, and give it its name."""
        with output_errors(self._partial.final):
            self._partial.path.write_text(self._text.getvalue(), encoding="utf-8")
        self._partial.commit()

    def discard(self) -> None:
        """Remove the table if it is unfinished."""
        self._partial.discard()
