"""Region maps on disk: DICOM SEG, NIfTI and TIFF labels, written and read back.

In a file, labels count from 1, and 0 means no region, which viewers do not show. A region map
written by rat has no zeros; in a map from elsewhere, the zeros are one more region.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ratcli.errors import UnsuitableInputError, UsageError
from ratcli.formats.atomic import PartialFile
from ratcli.formats.closing import ClosingReader, FinishingWriter
from ratcli.formats.limits import DEFAULT_MAX_PIXELS
from ratcli.regions import LabelArray, Regions
from ratcli.scan import Derivation, ScanInfo, ScanReader

FileLabels = npt.NDArray[np.unsignedinteger[Any]]
"""Labels as a file holds them, `(planes, H, W)`, from 1."""

SUFFIXES: dict[str, str] = {"dicom": ".dcm", "nifti": ".nii.gz", "tiff": ".tif"}
"""Formats of region maps, and the suffix that a new file gets."""


def region_format(kind: str | None, scan: str) -> str:
    """Return the format of a region map: the one that was named, or else that of the scan.

    Args:
        kind: a key of `SUFFIXES`, or None.
        scan: format of the scan; a picture has its regions in a TIFF.
    """
    return kind or ("tiff" if scan == "picture" else scan)


class RegionReader(ClosingReader):
    """An open region map on the grid of a scan; a context manager.

    Attributes:
        shape: planes, rows and columns; a map of one plane is used for all planes of the scan.
    """

    shape: tuple[int, int, int]

    @property
    def names(self) -> Mapping[int, str]:
        """Names of labels, if the file has them."""
        return {}

    @abstractmethod
    def labels(self, plane: int) -> LabelArray:
        """Return int32 `(H, W)`: the numbers of the file, the same in every plane; 0 is none.

        Raises:
            UnreadableInputError: the file is damaged.
        """

    def regions(self, plane: int) -> Regions:
        """Return the regions of a plane.

        Raises:
            UnreadableInputError: the file is damaged.
        """
        return Regions.from_labels(self.labels(plane))


def open_regions(
    path: Path, scan: ScanReader, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> RegionReader:
    """Open a region map that was made from a scan.

    Args:
        path: DICOM SEG, or labels as NIfTI or TIFF; one plane for each of the scan's, in its
            order, or one for all. A SEG may hold only some of the scan's planes, which
            are matched by position.
        scan: the open scan, as `open_scan` gave it. NIfTI labels of a DICOM scan are matched by
            where they lie in space.
        max_pixels: most pixels of a plane.

    Raises:
        InputNotFoundError: no such file.
        UnreadableInputError: it is damaged.
        UnsuitableInputError: it is not on the scan's grid.
    """
    from ratcli.formats.regions.labels import open_labels
    from ratcli.formats.regions.segmentation import SegReader, is_segmentation

    if is_segmentation(path):
        reader: RegionReader = SegReader(path, scan, max_pixels)
    else:
        reader = open_labels(path, scan, max_pixels)
    try:
        _check_grid(reader, scan.info)
    except BaseException:
        reader.close()
        raise
    return reader


class RegionWriter(FinishingWriter):
    """A region map being written; it gets its name when it closes without an error.

    Args:
        info: facts about the scan; every plane must come once.
        path: the file.
        save: writes all labels to a file.
        overwrite: whether a file of that name may be replaced.

    Raises:
        OutputError: the name is taken, or the folder cannot be made.
    """

    def __init__(
        self,
        info: ScanInfo,
        path: Path,
        save: Callable[[FileLabels, Path], None],
        *,
        overwrite: bool = False,
    ) -> None:
        self._partial = PartialFile(path, overwrite=overwrite)
        self._save = save
        self._labels: FileLabels = np.zeros((info.planes, info.height, info.width), np.uint16)

    def write(self, plane: int, labels: LabelArray) -> None:
        """Take the labels of a plane, int32 `(H, W)`, from 0."""
        if int(labels.max()) + 1 > np.iinfo(self._labels.dtype).max:
            self._labels = self._labels.astype(np.uint32)
        self._labels[plane] = labels + 1

    def finish(self) -> None:
        """Write all labels, and give the file its name."""
        self._save(self._labels, self._partial.path)
        self._partial.commit()

    def discard(self) -> None:
        """Remove the file if it is unfinished."""
        self._partial.discard()


def create_regions(
    reader: ScanReader,
    path: Path,
    derivation: Derivation,
    *,
    kind: str | None = None,
    overwrite: bool = False,
) -> RegionWriter:
    """Begin a region map of a scan.

    Args:
        reader: the open scan, as `open_scan` gave it; geometry and patient are taken from it.
        path: the file.
        derivation: how the regions were found; goes into the headers.
        kind: a key of `SUFFIXES`; None for the scan's own format.
        overwrite: whether a file of that name may be replaced.

    Raises:
        UsageError: a DICOM SEG was asked for, but the scan is not DICOM.
        OutputError: the name is taken, or cannot be written.
    """
    from ratcli.formats.regions import labels, segmentation_writer

    kind = region_format(kind, reader.info.format)
    if kind == "dicom":
        if reader.info.format != "dicom":
            raise UsageError(
                f"a DICOM SEG needs a DICOM scan, but the input is {reader.info.format}",
                hint="Choose --format nifti or tiff.",
            )
        save = segmentation_writer.saver(reader, derivation)
    elif kind == "nifti":
        save = labels.nifti_saver(reader, derivation)
    elif kind == "tiff":
        save = labels.tiff_saver(reader, derivation)
    else:
        raise UsageError(
            f"there is no format '{kind}' for regions", hint="Choose dicom, nifti or tiff."
        )
    return RegionWriter(reader.info, path, save, overwrite=overwrite)


def _check_grid(reader: RegionReader, info: ScanInfo) -> None:
    planes, height, width = reader.shape
    if (height, width) != (info.height, info.width) or planes not in (1, info.planes):
        raise UnsuitableInputError(
            f"the region map is {planes} x {height} x {width}, "
            f"but the scan is {info.planes} x {info.height} x {info.width}",
            hint="Give the region map that was made from this scan.",
        )
