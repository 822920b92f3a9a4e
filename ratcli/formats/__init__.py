"""Every format `rat` reads and writes: told apart by their bytes, opened and made here.

A format is a module with three functions (`FormatModule`) and one line in `FORMATS`.
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from ratcli.errors import InputNotFoundError, UnreadableInputError, UsageError
from ratcli.formats.kinds import describe_bytes
from ratcli.formats.limits import DEFAULT_MAX_PIXELS, HEAD_BYTES
from ratcli.scan import Derivation, ScanReader, ScanWriter

FORMATS: dict[str, str] = {
    "dicom": "ratcli.formats.dicom",
    "nifti": "ratcli.formats.nifti",
    "tiff": "ratcli.formats.tiff",
}
"""Name of a format (as in `ScanInfo.format`) and its module; asked in this order."""

_LONG_SUFFIXES = (".nii.gz", ".hdr.gz", ".img.gz", ".ome.tiff", ".ome.tif", ".ome.btf")
_SUFFIXES = (".dcm", ".dicom", ".ima", ".nii", ".hdr", ".img", ".tif", ".tiff", ".svs", ".btf")


class FormatModule(Protocol):
    """What a format's module must have. Importing it must be cheap: no library until it is used."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Tell whether a file is of this format.

        Args:
            head: its first `HEAD_BYTES` bytes, as they are on disk (gzip not undone).
            path: the file, for formats that take two (`.hdr` and `.img`).
        """

    def open_scan(
        self, paths: Sequence[Path], *, max_pixels: int, assume_unit: str | None
    ) -> ScanReader:
        """Open the files of one scan, in order; see `ratcli.formats.open_scan`."""

    def create_scan(
        self, reader: ScanReader, path: Path, derivation: Derivation, *, overwrite: bool
    ) -> ScanWriter:
        """Begin a scan made from `reader`; see `ratcli.formats.create_scan`."""


@dataclass(frozen=True)
class ScanSource:
    """One scan on disk, not yet opened.

    Attributes:
        paths: its files, in order; a member of an archive is `archive.zip/member`.
        format: name of its format.
        name: stem for the output's name; made from file and folder names, never from a tag.
        is_folder: whether it is written as a folder of files.
        notices: what is odd about the way its files belong together, one sentence each; to be
            told beside `ScanInfo.notices`.
        is_broken: whether it is a file of a DICOM series that cannot be read; opening it tells
            why.
    """

    paths: tuple[Path, ...]
    format: str
    name: str
    is_folder: bool = False
    notices: tuple[str, ...] = ()
    is_broken: bool = False

    @property
    def suffix(self) -> str:
        """Suffix that a file made from this scan gets; empty for a folder."""
        if self.is_folder:
            return ""
        suffix = split_name(self.paths[0])[1]
        return suffix or {"dicom": ".dcm", "nifti": ".nii", "tiff": ".tif"}[self.format]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files on disk: the archive where `paths` are inside one."""
        return tuple(dict.fromkeys(_on_disk(path) for path in self.paths))

    @property
    def folder(self) -> Path:
        """The folder that holds all of the files."""
        return _common_folder(self.files)


def split_name(path: Path) -> tuple[str, str]:
    """Split a file name into stem and suffix; dots of a UID stay in the stem."""
    name, lower = path.name, path.name.lower()
    for suffix in (*_LONG_SUFFIXES, *_SUFFIXES):
        if lower.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    return name, ""


def sniff(path: Path) -> str | None:
    """Return the name of a file's format, or None where it is none of `FORMATS`.

    Raises:
        UnreadableInputError: the file cannot be read.
    """
    head = _head(path)
    for name in FORMATS:
        if _module(name).sniff(head, path):
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
        At least one source, in the order of their file names.

    Raises:
        InputNotFoundError: nothing there, no scan in it, or not that series.
        UnreadableInputError: the file is of a kind that is not read.
    """
    if not path.exists():
        raise InputNotFoundError(f"{path.name or path} does not exist")
    if path.is_dir():
        sources = _sources(_sort_files(_list_files(path, recursive)), series_uid)
    else:
        name = _sniff_or_raise(path)
        if series_uid is not None or _is_container(name, path):
            sources = _sources({name: [path]}, series_uid)
        else:
            sources = [ScanSource((path,), name, split_name(path)[0])]
    if not sources:
        raise _nothing_found(path, recursive, series_uid)
    return sources


def open_scan(
    source: ScanSource | Path,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    assume_unit: str | None = None,
) -> ScanReader:
    """Open a scan; headers are read, pixels are not.

    Args:
        source: what `find_scans` gave, or the path of a scan.
        max_pixels: most pixels to decode at once.
        assume_unit: unit of the values where the file does not tell one.

    Raises:
        InputNotFoundError: no such file, or no scan in the folder.
        UnreadableInputError: damaged, hostile, or of a kind that is not read.
    """
    if isinstance(source, Path):
        source = _only(find_scans(source), source)
    module = _module(source.format)
    return module.open_scan(source.paths, max_pixels=max_pixels, assume_unit=assume_unit)


def create_scan(
    reader: ScanReader,
    path: Path,
    derivation: Derivation,
    *,
    overwrite: bool = False,
    jpeg_quality: int | None = None,
) -> ScanWriter:
    """Begin a scan of the reader's format; it stands under its name once the writer closes.

    Args:
        reader: the scan it is made from; its headers are copied.
        path: a file; for a source with `is_folder` a folder.
        derivation: what was done; goes into the headers.
        overwrite: whether what has that name may be replaced. The input itself never is.
        jpeg_quality: 1 to 100 to write a TIFF's colours as JPEG; None to lose nothing.

    Raises:
        UsageError: JPEG for what is not written so; see `check_jpeg`.
        OutputError: the name is taken, or cannot be written.
    """
    if jpeg_quality is not None:
        check_jpeg(reader)
        from ratcli.formats import tiff

        return tiff.create_scan(
            reader, path, derivation, overwrite=overwrite, jpeg_quality=jpeg_quality
        )
    module = _module(reader.info.format)
    return module.create_scan(reader, path, derivation, overwrite=overwrite)


def check_jpeg(reader: ScanReader) -> None:
    """Refuse a scan whose output is not written as JPEG: all but TIFF in RGB of 8 bits.

    Raises:
        UsageError: it is of another format, has other samples, or is for ImageJ.
    """
    if reader.info.format != "tiff":
        name = {"dicom": "DICOM", "nifti": "NIfTI"}.get(reader.info.format, reader.info.format)
        raise UsageError(
            f"JPEG is for TIFF and SVS, but this is {name}", hint="Leave --compression out."
        )
    from ratcli.formats.tiff.derived import check_jpeg as check_tiff
    from ratcli.formats.tiff.reader import TiffReader

    assert isinstance(reader, TiffReader)
    check_tiff(reader)


def _module(name: str) -> FormatModule:
    return cast(FormatModule, importlib.import_module(FORMATS[name]))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise UnreadableInputError(f"{path.name} cannot be read: {reason}") from error


def _sniff_or_raise(path: Path) -> str:
    name = sniff(path)
    if name is None:
        raise UnreadableInputError(
            f"{path.name} is {describe_bytes(_head(path))}, not a DICOM, NIfTI or TIFF file"
        )
    return name


def _list_files(folder: Path, recursive: bool) -> list[Path]:
    """List the files of a folder in the order of their names, hidden ones left out."""
    files: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        if not recursive:
            break
    return [file for file in files if file.is_file()]


def _sort_files(files: Iterable[Path]) -> dict[str, list[Path]]:
    by_format: dict[str, list[Path]] = {}
    for file in files:
        name = sniff(file)
        if name is not None:
            by_format.setdefault(name, []).append(file)
    return by_format


def _sources(by_format: dict[str, list[Path]], series_uid: str | None) -> list[ScanSource]:
    sources: list[ScanSource] = []
    for name, paths in by_format.items():
        if name == "dicom":
            sources += _dicom_sources(paths, series_uid)
        elif series_uid is None:
            sources += [
                ScanSource((path,), name, split_name(path)[0]) for path in _without_voxels(paths)
            ]
    return sorted(sources, key=lambda source: source.paths[0])


def _without_voxels(paths: list[Path]) -> list[Path]:
    """Leave out the voxels of a pair: its header stands for both."""
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


def _dicom_sources(paths: list[Path], series_uid: str | None) -> list[ScanSource]:
    from ratcli.formats import dicom

    groups = dicom.find_series(paths, series_uid=series_uid)
    folders = [_common_folder(group.paths) for group in groups if group.is_folder]
    shared, seen = Counter(folders), Counter[Path]()
    sources = []
    for group in groups:
        name = split_name(group.paths[0])[0]
        if group.is_folder:
            folder = _common_folder(group.paths)
            seen[folder] += 1
            number = f"_series{seen[folder]}" if shared[folder] > 1 else ""
            name = (folder.resolve().name or "scan").removesuffix(".zip") + number
        sources.append(
            ScanSource(group.paths, "dicom", name, group.is_folder, group.notices, group.is_broken)
        )
    return sources


def _is_container(name: str, path: Path) -> bool:
    from ratcli.formats import dicom

    return name == "dicom" and dicom.is_container(path)


def _only(sources: list[ScanSource], path: Path) -> ScanSource:
    """Return the only scan; of one with files that cannot be read, such a file, to tell why."""
    broken = [source for source in sources if source.is_broken]
    if broken and len(sources) - len(broken) <= 1:
        return broken[0]
    if len(sources) > 1:
        raise UsageError(
            f"{path.name} holds {len(sources)} scans, but one is opened at a time",
            hint="Name a file, or pick a series with --series-uid.",
        )
    return sources[0]


def _nothing_found(path: Path, recursive: bool, series_uid: str | None) -> InputNotFoundError:
    where = path.resolve().name
    if series_uid is not None:
        return InputNotFoundError(
            f"{where} holds no series with the wanted SeriesInstanceUID",
            hint="`rat info` lists the series.",
        )
    hint = "" if recursive else "Search the folders inside it with --recursive."
    return InputNotFoundError(f"{where} holds no DICOM, NIfTI or TIFF scan", hint=hint)


def _on_disk(path: Path) -> Path:
    """Return the nearest part of a path that is there: an archive for one of its members."""
    for part in (path, *path.parents):
        if part.exists():
            return part
    return path


def _common_folder(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([path.parent.absolute() for path in paths]))
