"""Files of a folder that are no scans although, by name or place, they belong to a DICOM series."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable
from pathlib import Path

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")

# What lies in folders of scans and is no scan. A name that begins like this has no meaning for rat.
_QUIET_NAMES = ("readme", "license", "licence", "dicomdir", "thumbs", "autorun", "desktop", "index")
_TEXTS = ".txt .xml .json .pdf .csv .tsv .html .htm .md .log .ini .inf .yaml .yml .toml .url .lnk"
_PICTURES = ".jpg .jpeg .png .gif .bmp .webp .mp4 .avi .ico"
_DATA = ".db .gz .zip .tgz .7z .bval .bvec .nrrd .mha .mhd .raw .npy .h5 .sha256 .md5 .doc .docx"
_PROGRAMS = ".exe .dll .bat .py .m .sh .js .css .xls .xlsx"
_QUIET_SUFFIXES = frozenset(f"{_TEXTS} {_PICTURES} {_DATA} {_PROGRAMS}".split())


def find_strays(unknown: Iterable[Path], dicom: Iterable[Path]) -> list[Path]:
    """Return the files that are named like a DICOM file, or like the DICOM files beside them.

    Args:
        unknown: files of no format that is read.
        dicom: the DICOM files that were found.
    """
    beside: dict[Path, set[str]] = defaultdict(set)
    for path in dicom:
        beside[path.parent].add(_pattern(path.name))
    return [path for path in unknown if _is_stray(path.name, beside[path.parent])]


def is_named_as_dicom(path: Path) -> bool:
    """Return whether a file has a suffix of DICOM files."""
    return path.name.lower().endswith(_DICOM_SUFFIXES)


def _is_stray(name: str, patterns: Container[str]) -> bool:
    lower = name.lower()
    if name.startswith(".") or lower.startswith(_QUIET_NAMES):
        return False
    if lower.endswith(_DICOM_SUFFIXES):
        return True
    if Path(lower).suffix in _QUIET_SUFFIXES:
        return False
    return any(map(str.isdigit, name)) and _pattern(name) in patterns


def _pattern(name: str) -> str:
    """Return a name with a sign for each number, as `im#` for `IM0001`."""
    return re.sub(r"\d+", "#", name.lower())
