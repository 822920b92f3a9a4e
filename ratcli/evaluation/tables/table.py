"""What a table of figures is: columns with units, and rows of texts; numbers as texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ratcli.evaluation.results import Evaluation


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: what it holds.
        unit: of its values; empty where they have none.
        is_main: whether it is shown where space is short, as on a terminal.
    """

    name: str
    unit: str = ""
    is_main: bool = True

    @property
    def text(self) -> str:
        """The heading: the name, and the unit if there is one."""
        return f"{self.name} in {self.unit}" if self.unit else self.name


class Where(NamedTuple):
    """What a row is about: a region or a pixel of a plane, or a region of any plane.

    Attributes:
        plane: which, from 0; None for the first that shows the region.
        label: of the region; None for a pixel.
        row: of the pixel.
        column: of it.
    """

    plane: int | None
    label: int | None = None
    row: int = 0
    column: int = 0


@dataclass(frozen=True)
class FigureTable:
    """A table of figures.

    Attributes:
        title: its name.
        meaning: how to read it, in a few sentences.
        columns: what each column holds; the first ones name the row.
        rows: a text for each column, the most important rows first.
        main_rows: how many rows are shown where space is short; None for all of them.
        where: what each row is about, to be shown in a picture; empty if it has no place.
    """

    title: str
    meaning: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    main_rows: int | None = None
    where: tuple[Where, ...] = ()

    @property
    def header(self) -> tuple[str, ...]:
        """The heading of each column."""
        return tuple(column.text for column in self.columns)

    def narrow(self) -> FigureTable:
        """Return the main columns of the main rows."""
        wanted = [place for place, column in enumerate(self.columns) if column.is_main]
        return FigureTable(
            self.title,
            self.meaning,
            tuple(self.columns[place] for place in wanted),
            tuple(tuple(row[place] for place in wanted) for row in self.rows[: self.main_rows]),
        )


def number(value: float, digits: int = 2) -> str:
    """Return a number for readers: a dash for nan, the sign of infinity, a true minus."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign."""
    return ("+" if value > 0 else "") + number(value, digits)


def interval(low: float, high: float, digits: int = 2) -> str:
    """Return an interval, a dash where it is not known."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    return f"{number(low, digits)} to {number(high, digits)}"


def digits_of(found: Evaluation) -> int:
    """Return how many digits after the point a value in the scan's unit needs."""
    return {"HU": 2, "SUV": 3, "RGB": 4}.get(found.unit or "", 2)


def unit_of(found: Evaluation) -> str:
    """Return the unit of an evaluation, for labels."""
    return found.unit or "unknown unit"


def in_plane(plane: int | None) -> str:
    """Return in which plane something lies; nothing for all planes together."""
    return "" if plane is None else f" in plane {plane + 1}"
