"""Every format that `rat` reads and writes: opened and made here.

A format is a module with three functions (`FormatModule`) and one line in `FORMATS`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ratcli.errors import OutputError, UnreadableInputError, UnsuitableInputError, UsageError
from ratcli.formats.atomic import refuse_strangers
from ratcli.formats.finding import find_scans, only_scan, sniff
from ratcli.formats.limits import DEFAULT_MAX_PIXELS
from ratcli.formats.modules import FORMATS, FormatModule, format_module
from ratcli.formats.source import LeftOut, ScanSource, part_names, split_name
from ratcli.scan import Derivation, ScanReader, ScanWriter

__all__ = [
    "AS_THE_FILE_SAYS",
    "FORMATS",
    "LOCALIZER",
    "FormatModule",
    "LeftOut",
    "Reading",
    "ScanSource",
    "check_jpeg",
    "check_replaceable",
    "create_scan",
    "find_scans",
    "is_older_output",
    "open_scan",
    "part_names",
    "sniff",
    "split_name",
]

LOCALIZER = "localizers (scouts) are left out without --include-localizers"
_NOT_ACTIVITY = ("HU", "SUV", "RGB")


@dataclass(frozen=True)
class Reading:
    """How scans are read: what a user says about those that do not say it themselves.

    Attributes:
        unit: unit of the values if the file does not say.
        suv_factor: SUV for each unit of a PET scan, which replaces that of the header; a scan
            without a unit is taken as Bq/ml.
        full_scale: stored number that is white in a TIFF in colour; None for what the file says.
        image: page of a TIFF, from 1, that is the image; None for the largest.
        max_pixels: most pixels to decode at once.
        localizers: whether localizers (scouts) are wanted.
    """

    unit: str | None = None
    suv_factor: float | None = None
    full_scale: float | None = None
    image: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    localizers: bool = True

    def open(self, source: ScanSource | Path) -> ScanReader:
        """Open a scan; headers are read, pixels are not.

        Args:
            source: what `find_scans` gave, or the path of a scan.

        Raises:
            InputNotFoundError: no such file, or no scan in the folder.
            UnreadableInputError: damaged, hostile, or not supported.
            UnsuitableInputError: the file does not have the image or the full scale, or is a
                localizer that is not wanted.
        """
        if isinstance(source, Path):
            source = only_scan(find_scans(source), source)
        if source.problem:
            raise UnreadableInputError(source.problem)
        how: dict[str, Any] = {"max_pixels": self.max_pixels, "assume_unit": self.unit}
        if source.format == "tiff":
            how |= {"full_scale": self.full_scale, "image": self.image}
        reader = format_module(source.format).open_scan(source, **how)
        info = reader.info
        if info.is_localizer and not self.localizers:
            raise UnsuitableInputError(LOCALIZER)
        is_pet = info.modality in (None, "PT") and info.unit not in _NOT_ACTIVITY
        if self.suv_factor is not None and is_pet:
            reader.info = replace(  # type: ignore[misc]
                info, unit=info.unit or "Bq/ml", suv_factor=self.suv_factor, suv_problem=""
            )
        return reader


AS_THE_FILE_SAYS = Reading()


def open_scan(
    source: ScanSource | Path, *, assume_unit: str | None = None, **how: Any
) -> ScanReader:
    """Open a scan; see `Reading`, whose `unit` is `assume_unit` here."""
    return Reading(unit=assume_unit, **how).open(source)


def create_scan(
    reader: ScanReader,
    path: Path,
    derivation: Derivation,
    *,
    overwrite: bool = False,
    jpeg_quality: int | None = None,
) -> ScanWriter:
    """Begin a scan in the reader's format; it gets its name when the writer closes.

    Args:
        reader: the scan it is made from; its headers are copied.
        path: a file; for a source with `is_folder` a folder.
        derivation: what was done; goes into the headers.
        overwrite: whether an existing file of that name may be replaced; the input never is.
        jpeg_quality: 1 to 100 to write a TIFF's colours as JPEG; None to lose nothing.

    Raises:
        UsageError: the scan cannot be written as JPEG; see `check_jpeg`.
        OutputError: the name is taken, or cannot be written.
    """
    if jpeg_quality is not None:
        check_jpeg(reader)
        from ratcli.formats import tiff

        return tiff.create_scan(
            reader, path, derivation, overwrite=overwrite, jpeg_quality=jpeg_quality
        )
    module = format_module(reader.info.format)
    return module.create_scan(reader, path, derivation, overwrite=overwrite)


def check_replaceable(source: ScanSource, path: Path, *, is_folder: bool) -> None:
    """Refuse to replace what is not an older output of the same scan.

    Args:
        source: the scan of which an output would be written.
        path: the output, which may not exist.
        is_folder: whether it is a folder of files.

    Raises:
        OutputError: something else is in its place.
    """
    from ratcli.formats.dicom.replaced import Origin, strangers

    if not os.path.lexists(path):
        return
    if is_folder:
        refuse_strangers(path, strangers(path, Origin(source.paths, source.headers)))
    elif not is_older_output(source, path):
        raise OutputError(
            f"{path.name} is not an older output of this scan, so it is not replaced",
            hint="Move it away, or choose another place with -o.",
        )


def is_older_output(source: ScanSource, path: Path) -> bool:
    """Return whether a file or folder is an output of this scan; of a folder, one file suffices.

    Only DICOM tells whose it is. A NIfTI or TIFF file that has the name is taken as an output.
    """
    from ratcli.formats.dicom.replaced import Origin, visible_files

    origin = Origin(source.paths, source.headers)
    if path.is_dir():
        return any(map(origin.made, visible_files(path)))
    try:
        found = sniff(path)
    except UnreadableInputError:
        return False
    if found == "dicom":
        return source.format == "dicom" and origin.made(path)
    return found is not None


def check_jpeg(reader: ScanReader) -> None:
    """Refuse to write a scan as JPEG unless it is a TIFF in RGB of 8 bits.

    Raises:
        UsageError: it is of another format, has other samples, or is for ImageJ.
    """
    if reader.info.format != "tiff":
        names = {"dicom": "DICOM", "nifti": "NIfTI", "picture": "PNG"}
        name = names[reader.info.format]
        raise UsageError(
            f"JPEG is for TIFF and SVS, but this is {name}", hint="Leave --compression out."
        )
    from ratcli.formats.tiff.derived import check_jpeg as check_tiff
    from ratcli.formats.tiff.reader import TiffReader

    assert isinstance(reader, TiffReader)
    check_tiff(reader)
