"""Slides written box by box, for the tests of what becomes of them."""

from __future__ import annotations

from pathlib import Path

from ratcli.formats import create_scan, open_scan
from ratcli.scan import Box, Derivation


def convert(
    source: Path,
    target: Path,
    derivation: Derivation,
    step: int = 100,
    jpeg_quality: int | None = None,
) -> Path:
    """Enlarge a slide, every pixel repeated, in boxes that fit no tile."""
    scale = derivation.scale
    with (
        open_scan(source) as reader,
        create_scan(reader, target, derivation, jpeg_quality=jpeg_quality) as writer,
    ):
        for top in range(0, reader.info.height, step):
            for left in range(0, reader.info.width, step):
                height = min(step, reader.info.height - top)
                box = Box(top, left, height, min(step, reader.info.width - left))
                values = reader.read(0, box).repeat(scale, 1).repeat(scale, 2)
                writer.write(0, values, box.scaled(scale))
    return target
