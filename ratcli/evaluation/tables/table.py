"""What a table of figures is: columns with units, and rows of texts."""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True)
class FigureTable:
    """A table of figures.

    Attributes:
        title: its name.
        meaning: how to read it, in a few sentences.
        columns: what each column holds; the first ones name the row.
        rows: a text for each column, the most important rows first.
        main_rows: how many rows are shown where space is short; None for all of them.
    """

    title: str
    meaning: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    main_rows: int | None = None

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
