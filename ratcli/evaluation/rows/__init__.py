"""Rows of a result: what is measured view by view, and gathered over a scan.

Each module has the row, a plain frozen dataclass, and the class that gathers such rows: `add` takes
a view, `rows` returns what was found. What cannot be measured becomes a note.
"""
