"""What a table of the report is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: its name.
        meaning: one sentence that tells how to read it.
        header: names of the columns, with units.
        rows: as many texts each.
    """

    title: str
    meaning: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
