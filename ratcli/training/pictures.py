"""PNG and JPEG pictures, in which fields of slides are often kept; read for training only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ratcli.errors import UnreadableInputError, UnsuitableInputError
from ratcli.scan import FloatArray

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_MOST_PIXELS = 1 << 26


def find_pictures(path: Path) -> list[Path]:
    """List the PNG and JPEG files in a folder and the folders inside, or the file itself."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in files if file.is_file() and _head(file).startswith((_PNG, _JPEG))]


def read_picture(path: Path) -> FloatArray:
    """Read a picture as `(3, H, W)`, 0 to 1; an alpha channel is dropped.

    Raises:
        UnreadableInputError: it is damaged or too large.
        UnsuitableInputError: it is gray.
    """
    import imagecodecs

    try:
        data = path.read_bytes()
        decode = imagecodecs.png_decode if data.startswith(_PNG) else imagecodecs.jpeg8_decode
        samples = np.asarray(decode(data))
    except Exception as error:
        raise UnreadableInputError(f"{path.name} is damaged") from error
    if samples.ndim == 2 or samples.shape[-1] < 3:
        raise UnsuitableInputError(f"{path.name} is gray, but the task needs colour pictures")
    if samples.shape[0] * samples.shape[1] > _MOST_PIXELS:
        raise UnreadableInputError(f"{path.name} has more than {_MOST_PIXELS} pixels")
    peak = np.float32(np.iinfo(samples.dtype).max)
    rgb = np.moveaxis(samples[..., :3].astype(np.float32) / peak, -1, 0)
    return np.ascontiguousarray(rgb)


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(len(_PNG))
