"""Decoding a tile or strip in the process of the decoders, which does not have the open file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import tifffile

from ratcli.formats.quantise import StoredArray
from ratcli.formats.sandbox import run_apart

_SAMPLE_FORMAT = 339
_FACTS = (
    *("compression", "predictor", "fillorder", "photometric", "planarconfig", "extrasamples"),
    *("sampleformat", "bitspersample", "samplesperpixel", "subsampling", "dtype", "_dtype"),
    *("shaped", "imagewidth", "rowsperstrip", "tiledepth", "tilelength", "tilewidth", "nodata"),
    *("is_jfif", "hash"),
)
"""What tifffile's pages know of themselves and need to decode."""


def decode_apart(what: str, page: Any, data: bytes, index: int, **tables: Any) -> StoredArray:
    """Decode a compressed tile or strip.

    Args:
        what: what is decoded, to begin a message with.
        page: tifffile's page.
        data: the bytes of the tile or strip.
        index: its number.
        tables: of a JPEG: `jpegtables`, `jpegheader`.

    Raises:
        UnreadableInputError: the decoder crashed or took too long.
        ValueError: the data are damaged.
    """
    page = page.keyframe
    facts = {name: getattr(page, name) for name in _FACTS}
    if (tag := page.tags.get(_SAMPLE_FORMAT)) is not None:
        facts["tags"] = {_SAMPLE_FORMAT: SimpleNamespace(count=tag.count, value=tag.value)}
    samples = int(np.prod(page.chunks))
    return run_apart(what, samples, _decode, facts, page.parent.byteorder, data, index, tables)


def _decode(
    facts: dict[str, Any], byteorder: str, data: bytes, index: int, tables: dict[str, Any]
) -> StoredArray:
    page = object.__new__(tifffile.TiffPage)
    root = SimpleNamespace(_decoders={})
    vars(page).update({"tags": {}, **facts})
    page.parent = SimpleNamespace(root=root, byteorder=byteorder, is_eer=False)  # type: ignore[assignment]
    return np.asarray(page.decode(data, index, **tables)[0])
