"""What a folder of restored slices may replace: an older result of the same series only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ratcli.errors import UnreadableInputError
from ratcli.formats.atomic import strange_entries
from ratcli.formats.dicom.elements import text
from ratcli.formats.dicom.files import guarded, read_header


def file_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file of an output: that of its source, with a number if need be.

    Args:
        paths: the files of the source, in order.
    """
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem = path.name[:-4] if path.name.lower().endswith(".dcm") else path.name
        name, number = f"{stem}.dcm", len(names) + 1
        while name.casefold() in taken:
            name, number = f"{stem}_{number}.dcm", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def strangers(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return what is in an output folder and is not of the series that would be written there.

    A file is of the series if it has one of its names, or the SeriesInstanceUID of a file that
    has one: an older result may have more slices.

    Args:
        folder: an output that exists.
        names: of the files that would be written.
    """
    own = {name.casefold() for name in names}
    left = [path for path in strange_entries(folder) if path.name.casefold() not in own]
    if not folder.is_dir():
        return left
    files = [path for path in folder.iterdir() if path.is_file() and path not in left]
    others = [path for path in files if path.name.casefold() not in own and path.name[0] != "."]
    if others:
        known = {_series_of(path) for path in files if path not in others} - {""}
        left += [path for path in others if _series_of(path) not in known]
    return sorted(left)


def _series_of(path: Path) -> str:
    """Return the SeriesInstanceUID of a file; empty if it is not DICOM."""
    try:
        dataset = read_header(path).dataset
        with guarded(path, "the header"):
            return text(dataset, "SeriesInstanceUID")
    except UnreadableInputError:
        return ""
