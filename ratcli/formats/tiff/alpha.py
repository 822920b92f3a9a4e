"""Alpha beside colours: enlarged as smoothly as they are, and a bound where it is premultiplied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ratcli.formats.quantise import StoredArray
from ratcli.formats.tiff.samples import PREMULTIPLIED, UNSPECIFIED, Samples
from ratcli.scan import Box


def enlarged_extras(
    read: Callable[[Box], StoredArray],
    samples: Samples,
    size: tuple[int, int],
    scale: int,
    box: Box,
) -> StoredArray:
    """Return the extra samples `(H, W, extras)` for a box of a grid `scale` times as fine.

    Alpha is interpolated between the centres of pixels; samples of unspecified meaning, which may
    be labels, are repeated. The result for a pixel does not depend on the box.

    Args:
        read: gives the source's samples `(H, W, samples)` of a box.
        samples: what they mean.
        size: height and width of the source.
        scale: pixels for each source pixel and axis.
        box: on the finer grid.
    """
    rows = _Line(box.top, box.height, size[0], scale)
    columns = _Line(box.left, box.width, size[1], scale)
    area = Box(rows.first, columns.first, rows.count, columns.count)
    source = read(area)[..., samples.channels :]
    extras = source[rows.nearest][:, columns.nearest]
    smooth = [kind != UNSPECIFIED for kind in samples.extra_kinds]
    if any(smooth):
        blended = columns.blend(rows.blend(source[..., smooth], axis=0), axis=1)
        is_whole = source.dtype.kind in "iu"
        extras[..., smooth] = np.rint(blended) if is_whole else blended
    return extras


def with_extras(
    colours: StoredArray, extras: StoredArray, samples: Samples, source: StoredArray | None
) -> StoredArray:
    """Put colours and extra samples together; colours stay within a premultiplied alpha.

    Args:
        colours: stored `(H, W, channels)`.
        extras: stored `(H, W, extras)`.
        samples: what they mean.
        source: the same pixels of the source, `(H, W, samples)`, if the grid is the same: a source
            whose own colours exceed its alpha is not mended. None for a finer grid.
    """
    for number, kind in enumerate(samples.extra_kinds):
        if kind != PREMULTIPLIED or samples.inverted or samples.palette is not None:
            continue
        bound = extras[..., number : number + 1]
        if source is not None:
            bound = np.maximum(bound, source[..., : samples.channels])
        colours = np.minimum(colours, bound)
    return np.concatenate([colours, extras], axis=-1)


class _Line:
    """Where the pixels of one axis of a finer grid lie between those of the source.

    Args:
        start: first pixel of the finer grid.
        length: how many.
        size: pixels of the source along the axis.
        scale: pixels for each source pixel.
    """

    def __init__(self, start: int, length: int, size: int, scale: int) -> None:
        pixels = np.arange(start, start + length)
        centres = (pixels + 0.5) / scale - 0.5
        below = np.floor(centres).astype(np.int64)
        self._share = centres - below
        low, high = np.clip(below, 0, size - 1), np.clip(below + 1, 0, size - 1)
        self.first, self.count = int(low[0]), int(high[-1] - low[0] + 1)
        self._low, self._high = low - self.first, high - self.first
        self.nearest = pixels // scale - self.first

    def blend(self, values: npt.NDArray[np.generic], axis: int) -> npt.NDArray[np.float64]:
        """Interpolate along an axis of source pixels that begins at `first`."""
        shape = [1] * values.ndim
        shape[axis] = -1
        share = self._share.reshape(shape)
        low = values.take(self._low, axis).astype(np.float64)
        high = values.take(self._high, axis).astype(np.float64)
        blended: npt.NDArray[np.float64] = low * (1 - share) + high * share
        return blended
