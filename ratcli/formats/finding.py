"""Which scans a file or a folder holds, decided by the first bytes of each file.

Files that are no scans belong to a DICOM series if they are named or placed like its files.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ratcli.errors import InputNotFoundError, UnreadableInputError, UsageError, reason_of
from ratcli.formats.limits import HEAD_BYTES
from ratcli.formats.modules import FORMATS, format_module
from ratcli.formats.source import ScanSource, common_folder, split_name
from ratcli.formats.wording import describe_bytes
from ratcli.paths import check_file, check_path

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_PREVIEW = "_preview"  # of regions, as `rat segment` draws them

# What lies in folders of scans and is no scan. A name that begins like this has no meaning for rat.
_QUIET_NAMES = ("readme", "license", "licence", "dicomdir", "thumbs", "autorun", "desktop", "index")
_TEXTS = ".txt .xml .json .pdf .csv .tsv .html .htm .md .log .ini .inf .yaml .yml .toml .url .lnk"
_PICTURES = ".jpg .jpeg .png .gif .bmp .webp .mp4 .avi .ico"
_DATA = ".db .gz .zip .tgz .7z .bval .bvec .nrrd .mha .mhd .raw .npy .h5 .sha256 .md5 .doc .docx"
_PROGRAMS = ".exe .dll .bat .py .m .sh .js .css .xls .xlsx"
_QUIET_SUFFIXES = frozenset(f"{_TEXTS} {_PICTURES} {_DATA} {_PROGRAMS}".split())


def sniff(path: Path) -> str | None:
    """Return the name of a file's format, or None if it is none of `FORMATS`.

    Raises:
        UnreadableInputError: the file cannot be read.
    """
    head = _head(path)
    for name in FORMATS:
        if format_module(name).sniff(head, path):
            return name
    return None


def find_scans(
    path: Path, *, recursive: bool = False, series_uid: str | None = None
) -> list[ScanSource]:
    """List the scans in a file or folder; DICOM files of a folder are grouped into series.

    Args:
        path: a file, a folder, or a zip archive of a DICOM series.
        recursive: whether to search the folders inside.
        series_uid: SeriesInstanceUID of the only series wanted.

    Returns:
        At least one source, in the order of their file names, with absolute paths.

    Raises:
        InputNotFoundError: nothing there, no scan in it, or not that series.
        UnreadableInputError: the file is of no supported format.
    """
    if not check_path(path, InputNotFoundError).exists():
        raise InputNotFoundError(f"{path.name or path} does not exist")
    path = path.absolute()  # for processes that work in another folder
    if path.is_dir():
        files = _sort_files(_list_files(path, recursive))
        if {"dicom", "nifti"} & files.by_format.keys():  # pictures lie beside scans as previews
            files.by_format.pop("picture", None)
        sources = _sources(files.by_format, series_uid, files.strays)
        sources += [_unreadable(file, reason) for file, reason in files.unreadable.items()]
        sources.sort(key=lambda source: source.paths[0])
    else:
        check_file(path, UnreadableInputError)
        name = _sniff_or_raise(path)
        if series_uid is not None or _is_container(name, path):
            sources = _sources({name: [path]}, series_uid)
        else:
            sources = [ScanSource((path,), name, split_name(path)[0])]
    if not sources:
        raise _nothing_found(path, recursive, series_uid)
    return sources


def only_scan(sources: list[ScanSource], path: Path) -> ScanSource:
    """Return the only scan; if its files cannot be read, one of them, to raise its error."""
    broken = [source for source in sources if source.is_broken]
    if broken and len(sources) - len(broken) <= 1:
        return broken[0]
    if len(sources) > 1:
        raise UsageError(
            f"{path.name} holds {len(sources)} scans, but one is opened at a time",
            hint="Name a file, or pick a series with --series-uid.",
        )
    return sources[0]


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        reason = reason_of(error)
        raise UnreadableInputError(f"{path.name} cannot be read: {reason}") from error


def _sniff_or_raise(path: Path) -> str:
    name = sniff(path)
    if name is None:
        raise UnreadableInputError(
            f"{path.name} is {describe_bytes(_head(path))}, not a DICOM, NIfTI or TIFF file, nor a "
            "PNG or JPEG picture"
        )
    return name


def _list_files(folder: Path, recursive: bool) -> list[Path]:
    """List the files of a folder in the order of their names, without hidden files.

    Links to folders are followed, each folder once.
    """
    files: list[Path] = []
    top, seen = folder.resolve(), set[Path]()
    for parent, folders, names in os.walk(folder, followlinks=True):
        shown = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in shown if _is_new(Path(parent, name), top, seen)]
        files += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        if not recursive:
            break
    return [file for file in files if file.is_file() or (file.is_symlink() and not file.exists())]


def _is_new(folder: Path, top: Path, seen: set[Path]) -> bool:
    """Return whether a folder has to be searched; one inside `top` is, where it really is."""
    place = folder.resolve()
    is_within = place.is_relative_to(top) or top.is_relative_to(place)
    if place in seen or (folder.is_symlink() and is_within):
        return False
    seen.add(place)
    return True


@dataclass
class _Sorted:
    """The files of a folder: by format, no scans although they should be, or unreadable."""

    by_format: dict[str, list[Path]] = field(default_factory=dict)
    strays: dict[Path, str] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)


def _sort_files(files: Iterable[Path]) -> _Sorted:
    """Sort files by format; what is neither a scan nor named like one is left out."""
    found, unknown = _Sorted(), dict[Path, str]()
    for file in files:
        try:
            name = sniff(file)
            if name == "picture" and split_name(file)[0].endswith(_PREVIEW):
                continue
            if name is None:
                unknown[file] = f"{file.name} is {describe_bytes(_head(file))}, not a DICOM file"
            else:
                found.by_format.setdefault(name, []).append(file)
        except UnreadableInputError as error:
            unknown[file] = str(error)
            if split_name(file)[1].lower() not in ("", *_DICOM_SUFFIXES, *_PICTURES.split()):
                found.unreadable[file] = str(error)
    for file in find_strays(unknown, found.by_format.get("dicom", [])):
        if file not in found.unreadable:
            found.strays[file] = unknown[file]
    return found


def _unreadable(file: Path, reason: str) -> ScanSource:
    """Return a scan that cannot be opened, so that it fails and stops no other."""
    stem, suffix = split_name(file)
    name = "tiff" if "tif" in suffix.lower() or suffix.lower() in (".svs", ".btf") else "nifti"
    return ScanSource((file,), name, stem, is_broken=True, problem=reason)


def _sources(
    by_format: dict[str, list[Path]],
    series_uid: str | None,
    strays: Mapping[Path, str] | None = None,
) -> list[ScanSource]:
    sources = _dicom_sources(by_format.get("dicom", []), series_uid, strays or {})
    for name, paths in by_format.items():
        if name != "dicom" and series_uid is None:
            sources += [
                ScanSource((path,), name, split_name(path)[0]) for path in _without_voxels(paths)
            ]
    return sorted(sources, key=lambda source: source.paths[0])


def _without_voxels(paths: list[Path]) -> list[Path]:
    """Leave out the voxel file of a pair; the header file represents both."""
    kinds = {path: split_name(path) for path in paths}
    headers = {
        (path.parent, stem, suffix[4:].lower())
        for path, (stem, suffix) in kinds.items()
        if suffix.lower().startswith(".hdr")
    }
    return [
        path
        for path, (stem, suffix) in kinds.items()
        if not suffix.lower().startswith(".img")
        or (path.parent, stem, suffix[4:].lower()) not in headers
    ]


def _dicom_sources(
    paths: list[Path], series_uid: str | None, strays: Mapping[Path, str]
) -> list[ScanSource]:
    if not paths and not strays:
        return []
    from ratcli.formats.dicom.series import find_series

    found = find_series(paths, series_uid=series_uid, strays=strays)
    sources = []
    for series in found:
        name = split_name(series.paths[0])[0]
        if series.is_folder:
            number = f"_series{series.number}" if series.number else ""
            folder = common_folder(series.paths).resolve().name or "scan"
            name = folder.removesuffix(".zip") + number
        sources.append(
            ScanSource(
                paths=series.paths,
                format="dicom",
                name=name,
                is_folder=series.is_folder,
                notices=series.notices,
                is_broken=series.is_broken,
                problem=series.problem,
                left_out=series.left_out,
                modality=series.modality,
                is_localizer=series.is_localizer,
                headers=series.headers,
            )
        )
    return sources


def _is_container(name: str, path: Path) -> bool:
    from ratcli.formats.dicom.containers import is_container

    return name == "dicom" and is_container(path)


def _nothing_found(path: Path, recursive: bool, series_uid: str | None) -> InputNotFoundError:
    where = path.resolve().name
    if series_uid is not None:
        return InputNotFoundError(
            f"{where} has no series with that SeriesInstanceUID",
            hint="`rat info` lists the series.",
        )
    is_deep = not recursive and any(entry.is_dir() for entry in path.iterdir())
    hint = "Search the folders inside it with --recursive." if is_deep else ""
    return InputNotFoundError(f"{where} holds no scan and no picture", hint=hint)


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
