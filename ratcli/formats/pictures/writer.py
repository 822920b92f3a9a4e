"""Writing a PNG: colours on the new grid, with the profile and the resolution of the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ratcli.errors import UsageError
from ratcli.formats.atomic import PartialFile, output_errors, refuse_input
from ratcli.formats.closing import FinishingWriter
from ratcli.formats.pictures.reader import PictureReader
from ratcli.formats.tiling import box_to_fill
from ratcli.scan import Box, Derivation, FloatArray

_MOST_PIXELS = 1 << 29
"""A PNG is made in memory: 2 GB with alpha."""


class PngWriter(FinishingWriter):
    """A PNG being written; see `ScanWriter`.

    Args:
        reader: the source; alpha is enlarged smoothly, and what it hides is kept.
        path: the file.
        derivation: what was done.
        overwrite: whether a file of that name may be replaced.

    Raises:
        UsageError: PNG has no place for an uncertainty, or for so many pixels.
        OutputError: the name is taken, is the input's, or cannot be written.
    """

    def __init__(
        self, reader: PictureReader, path: Path, derivation: Derivation, *, overwrite: bool
    ) -> None:
        if derivation.method == "uncertainty":
            raise UsageError(
                "a PNG has no place for the uncertainty",
                hint="Leave --uncertainty out, or save the picture as TIFF.",
            )
        refuse_input(path, [reader.path])
        info, scale = reader.info, derivation.scale
        height, width = info.height * scale, info.width * scale
        if height * width > _MOST_PIXELS:
            raise UsageError(
                f"the output would have {height} x {width} pixels, too many for a PNG",
                hint="Save the picture as TIFF, which is written in parts.",
            )
        self._reader, self._derivation = reader, derivation
        self._partial = PartialFile(path, overwrite=overwrite)
        self._pixels = np.zeros((height, width, 3), np.uint8)
        self._written = np.zeros((height, width), np.bool_)

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write the plane, or a box of it; see `ScanWriter.write`."""
        height, width, channels = self._pixels.shape
        rows, columns = box_to_fill(values, box, (channels, height, width)).slices
        if self._written[rows, columns].any():
            raise ValueError("pixels come twice")
        self._pixels[rows, columns] = np.rint(np.clip(np.moveaxis(values, 0, -1), 0, 1) * 255)
        self._written[rows, columns] = True

    def finish(self) -> None:
        """Encode the picture, and give the file its name."""
        if not self._written.all():
            raise ValueError("the picture was not written whole")
        reader, scale = self._reader, self._derivation.scale
        image = Image.fromarray(self._pixels)
        alpha = reader.stored[..., 3:]
        if alpha.size:
            finer = Image.fromarray(alpha[..., 0]).resize(image.size, Image.Resampling.BILINEAR)
            image.putalpha(finer)
        text = PngInfo()
        text.add_text("Software", self._derivation.description)
        more = {"dpi": tuple(scale * part for part in reader.dpi)} if reader.dpi else {}
        with output_errors(self._partial.final):
            image.save(
                self._partial.path, "PNG", icc_profile=reader.icc_profile, pnginfo=text, **more
            )
        self._partial.commit()

    def discard(self) -> None:
        """Remove the file if it is unfinished."""
        self._partial.discard()
