"""Files that hold or list other DICOM files: zip archives and DICOMDIR.

Source: PS3.3, F.3 (basic directory), PS3.10 for its name.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.archive import open_archive
from ratcli.formats.dicom.elements import code, items, text, uid
from ratcli.formats.dicom.files import guarded, member_name, read_header

ZIP_MAGIC = b"PK\x03\x04"
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


def is_container(path: Path) -> bool:
    """Return whether a DICOM file refers to others: a zip archive or a DICOMDIR."""
    return is_zip(path) or _plain(path.name) == "dicomdir"


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip archive."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == ZIP_MAGIC


def holds_dicom(path: Path) -> bool:
    """Return whether a member of a zip archive is DICOM, by its preamble.

    Raises:
        UnreadableInputError: the archive is damaged, or beyond the limits.
    """
    with guarded(path, "the archive"):
        archive = open_archive(path)
        return any(_starts_as_dicom(archive, name) for name in _safe_members(archive).values())


@dataclass
class Contents:
    """What containers lead to.

    Attributes:
        paths: the DICOM files, each once.
        strays: members of an archive that are named like DICOM files and are not, with a sentence.
        missing: files that a DICOMDIR lists and that do not exist.
    """

    paths: tuple[Path, ...] = ()
    strays: dict[Path, str] = field(default_factory=dict)
    missing: tuple[Path, ...] = ()


def expand(paths: Sequence[Path]) -> Contents:
    """Replace archives by their members and directories by the files they list, each once.

    A damaged container stays in the list, so that opening it raises the error.
    """
    found: dict[Path, None] = {}
    all_of = Contents()
    for path in paths:
        try:
            with guarded(path, "the file"):
                parts = _contents(path)
        except UnreadableInputError:
            parts = Contents((path,))
        found.update(dict.fromkeys(parts.paths))
        all_of.strays.update(parts.strays)
        all_of.missing += parts.missing
    all_of.paths = tuple(found)
    return all_of


def _contents(path: Path) -> Contents:
    if is_zip(path):
        return _zip_contents(path)
    if _plain(path.name) == "dicomdir":
        return _directory_contents(path)
    return Contents((path,))


def _zip_contents(path: Path) -> Contents:
    found, strays = [], {}
    with guarded(path, "the archive"):
        archive = open_archive(path)
        for member, stored in _safe_members(archive).items():
            name = PurePosixPath(member).name
            if _plain(name) == "dicomdir":
                continue
            if _starts_as_dicom(archive, stored):
                found.append(path / member)
            elif name.lower().endswith((".dcm", ".dicom", ".ima")):
                strays[path / member] = f"{name} is not a DICOM file, although its name says so"
    return Contents(tuple(found), strays)


def _starts_as_dicom(archive: zipfile.ZipFile, member: str) -> bool:
    with archive.open(member) as stream:
        return stream.read(132)[128:] == b"DICM"


def _safe_members(archive: zipfile.ZipFile) -> dict[str, str]:
    """List the files of an archive, without hidden ones and names that lead out of it.

    Returns:
        The name as it is in the archive, by the name with `/` between folders; some programs on
        Windows write a backslash there.
    """
    names = {}
    for info in archive.infolist():
        name = member_name(info.filename)
        parts = PurePosixPath(name).parts
        outside = name.startswith("/") or ".." in parts
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
        is_folder = info.filename.endswith(("/", "\\"))
        if parts and not (is_folder or outside or hidden or ":" in parts[0]):
            names[name] = info.filename
    return dict(sorted(names.items()))


def _directory_contents(path: Path) -> Contents:
    """List the files that a DICOMDIR names, inside its folder only."""
    file = read_header(path)
    with guarded(path, "the directory"):
        if uid(file.meta, "MediaStorageSOPClassUID") != _DIRECTORY_CLASS:
            return Contents((path,))
        names = [
            text(record, "ReferencedFileID").split("\\")
            for record in items(file.dataset, "DirectoryRecordSequence")
            if code(record, "DirectoryRecordType") == "IMAGE"
        ]
    root = path.parent.resolve()
    found: list[Path] = []
    missing: list[Path] = []
    for parts in names:
        listed = _listed(path.parent, [part for part in parts if part])
        if root in listed.resolve().parents:
            (found if listed.is_file() else missing).append(listed)
    return Contents(tuple(found), missing=tuple(missing))


def _listed(folder: Path, parts: Sequence[str]) -> Path:
    """Return the path that a DICOMDIR means; disks change the case and add `;1` or `.dcm`."""
    exact = folder.joinpath(*parts)
    if exact.is_file():
        return exact
    path = folder
    for part in parts:
        fitting: list[Path] = []
        if path.is_dir() and part != "..":
            fitting = [entry for entry in path.iterdir() if _plain(entry.name) == _plain(part)]
        path = min(fitting) if fitting else path / part
    return path if path.is_file() else exact


def _plain(name: str) -> str:
    return name.casefold().removesuffix(";1").removesuffix(".dcm").removesuffix(".")
