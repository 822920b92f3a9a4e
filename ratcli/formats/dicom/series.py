"""Which files make up a series, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def find_series(paths: Sequence[Path], *, series_uid: str | None = None) -> list[tuple[Path, ...]]:
    """Group files into series."""
    return [tuple(paths)]
