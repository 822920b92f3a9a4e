"""Files that hold or list other DICOM files: zip archives and DICOMDIR.

Source: PS3.3, F.3 (basic directory), PS3.10 for its name.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.elements import code, items, text, uid
from ratcli.formats.dicom.files import guarded, read_header

ZIP_MAGIC = b"PK\x03\x04"
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_PROBED_MEMBERS = 64


def is_container(path: Path) -> bool:
    """Return whether a DICOM file refers to others: a zip archive or a DICOMDIR."""
    return is_zip(path) or path.name.upper() == "DICOMDIR"


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip archive."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == ZIP_MAGIC


def holds_dicom(path: Path) -> bool:
    """Return whether one of the first members of a zip archive is DICOM, by its preamble."""
    try:
        with guarded(path, "the archive"), zipfile.ZipFile(path) as archive:
            return any(
                _starts_as_dicom(archive, member)
                for member in _safe_members(archive)[:_PROBED_MEMBERS]
            )
    except UnreadableInputError:
        return False


def expand(paths: Sequence[Path]) -> list[Path]:
    """Replace archives by their members and directories by the files they list, each once.

    A damaged container stays in the list, so that opening it raises the error.
    """
    found: dict[Path, None] = {}
    for path in paths:
        try:
            parts = list(_contents(path))
        except UnreadableInputError:
            parts = [path]
        found.update(dict.fromkeys(parts))
    return list(found)


def _contents(path: Path) -> Iterator[Path]:
    if is_zip(path):
        yield from _zip_contents(path)
    elif path.name.upper() == "DICOMDIR":
        yield from _directory_contents(path)
    else:
        yield path


def _zip_contents(path: Path) -> Iterator[Path]:
    with guarded(path, "the archive"), zipfile.ZipFile(path) as archive:
        for member in _safe_members(archive):
            directory = PurePosixPath(member).name.upper() == "DICOMDIR"
            if not directory and _starts_as_dicom(archive, member):
                yield path / member


def _starts_as_dicom(archive: zipfile.ZipFile, member: str) -> bool:
    with archive.open(member) as stream:
        return stream.read(132)[128:] == b"DICM"


def _safe_members(archive: zipfile.ZipFile) -> list[str]:
    """List the files of an archive, without hidden ones and names that lead out of it."""
    names = []
    for info in archive.infolist():
        parts = PurePosixPath(info.filename).parts
        outside = info.filename.startswith("/") or ".." in parts or "\\" in info.filename
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
        if parts and not (info.is_dir() or outside or hidden or ":" in parts[0]):
            names.append(info.filename)
    return sorted(names)


def _directory_contents(path: Path) -> Iterator[Path]:
    """List the files that a DICOMDIR names and that are there, inside its folder only."""
    file = read_header(path)
    with guarded(path, "the directory"):
        if uid(file.meta, "MediaStorageSOPClassUID") != _DIRECTORY_CLASS:
            yield path
            return
        names = [
            text(record, "ReferencedFileID").split("\\")
            for record in items(file.dataset, "DirectoryRecordSequence")
            if code(record, "DirectoryRecordType") == "IMAGE"
        ]
    root = path.parent.resolve()
    for parts in names:
        listed = path.parent.joinpath(*(part for part in parts if part))
        if root in listed.resolve().parents and listed.is_file():
            yield listed
