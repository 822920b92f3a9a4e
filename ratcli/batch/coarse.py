"""A coarser slide as a tiled TIFF, made tile by tile: memory does not grow with the slide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ratcli.batch.stream import ReadAhead
from ratcli.batch.work import PlaneProgress
from ratcli.errors import UnsuitableInputError
from ratcli.formats.atomic import PartialFile, output_errors
from ratcli.formats.closing import FinishingWriter
from ratcli.physics import Degrader
from ratcli.scan import Box, Derivation, ScanInfo

_TILE = 256
_MARGIN = 4


class CoarseTiff(FinishingWriter):
    """A TIFF in the making; a context manager, see `ScanWriter`.

    Args:
        path: the file.
        derivation: what was done.
        overwrite: whether a file of that name may be replaced.
    """

    def __init__(self, path: Path, derivation: Derivation, *, overwrite: bool) -> None:
        self._derivation = derivation
        self._file = PartialFile(path, overwrite=overwrite)

    def write(self, reader: ReadAhead, degrade: Degrader, progress: PlaneProgress) -> None:
        """Write all planes, one page each, 8 bits a sample, without loss.

        Raises:
            UnsuitableInputError: the slide is too small to be made coarser.
            OutputError: it cannot be written.
        """
        import tifffile

        info, shrinks = reader.info, degrade.shrinks
        height, width = info.height // shrinks, info.width // shrinks
        if not height or not width:
            raise UnsuitableInputError(
                f"the slide is {info.height} x {info.width} pixels, too small to be made coarser"
            )
        with (
            output_errors(self._file.final),
            tifffile.TiffWriter(self._file.path, bigtiff=height * width > 1 << 29) as tiff,
        ):
            for plane in range(info.planes):
                tiff.write(
                    _tiles(reader, degrade, plane),
                    shape=(height, width, 3),
                    dtype=np.uint8,
                    tile=(_TILE, _TILE),
                    photometric="rgb",
                    compression="adobe_deflate",
                    predictor=True,
                    software=f"rat {self._derivation.version}",
                    description=self._derivation.description,
                    metadata=None,
                    **_resolution(info, shrinks),
                )
                progress(plane + 1, info.planes)

    def finish(self) -> None:
        """Give the file its name."""
        self._file.commit()

    def discard(self) -> None:
        """Remove the file if it is unfinished."""
        self._file.discard()


def _tiles(reader: ReadAhead, degrade: Degrader, plane: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield tiles row by row, padded at the right and lower edge with their last pixels."""
    info, shrinks = reader.info, degrade.shrinks
    height, width = info.height // shrinks, info.width // shrinks
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            low = (max(0, top - _MARGIN), max(0, left - _MARGIN))
            high = (min(height, top + _TILE + _MARGIN), min(width, left + _TILE + _MARGIN))
            box = Box(*low, high[0] - low[0], high[1] - low[1]).scaled(shrinks)
            values = reader.read(plane, box)
            small = degrade(values, np.zeros(values.shape[1:], np.bool_), plane)
            rows, columns = top - low[0], left - low[1]
            tile = small[:, rows : rows + _TILE, columns : columns + _TILE]
            samples = np.rint(tile * 255).astype(np.uint8).transpose(1, 2, 0)
            missing = [(0, _TILE - length) for length in samples.shape[:2]]
            yield np.pad(samples, [*missing, (0, 0)], mode="edge")


def _resolution(info: ScanInfo, shrinks: int) -> dict[str, object]:
    rows, columns = info.spacing_mm[1:]
    if not rows or not columns:
        return {}
    per_cm = (10 / (columns * shrinks), 10 / (rows * shrinks))
    return {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
