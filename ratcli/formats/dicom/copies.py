"""Which files of a series are copies of others: the same image, with the same pixels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

import numpy as np

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.files import read_header
from ratcli.formats.dicom.frames import FrameFile
from ratcli.formats.limits import DEFAULT_MAX_PIXELS


def find_copies(files: Mapping[Path, Hashable]) -> dict[Path, Path]:
    """Return the files to leave out, each with the file that it is a copy of.

    Of several copies, the one that stays is a regular file and has the shortest name, so that
    `scan.dcm` stays and `scan (1).dcm`, or a link to it, does not.

    Args:
        files: for each file what names its image, as SOP instance UID and position. Files that
            agree are copies only if their pixels agree, too: otherwise they are phases.
    """
    alike: dict[Hashable, list[Path]] = defaultdict(list)
    for path, image in files.items():
        alike[image].append(path)
    copies: dict[Path, Path] = {}
    for paths in alike.values():
        if len(paths) > 1:
            copies.update(_copies_among(sorted(paths, key=_preference)))
    return copies


def is_link(copy: Path, kept: Path) -> bool:
    """Return whether a copy is another name of the same file, so that nothing is left out."""
    return copy.exists() and kept.exists() and copy.samefile(kept)


def _preference(path: Path) -> tuple[bool, int, Path]:
    return path.is_symlink(), len(path.name), path


def _copies_among(paths: Iterable[Path]) -> dict[Path, Path]:
    first: dict[str, Path] = {}
    copies = {}
    for path in paths:
        pixels = _pixels_digest(path)
        if pixels in first:
            copies[path] = first[pixels]
        first.setdefault(pixels, path)
    return copies


def _pixels_digest(path: Path) -> str:
    """Return a hash of the decoded pixels of an image; its path if they cannot be read."""
    try:
        words = FrameFile(read_header(path), DEFAULT_MAX_PIXELS).frame(0).words
    except UnreadableInputError:
        return str(path)
    return hashlib.sha256(np.ascontiguousarray(words).tobytes()).hexdigest()
