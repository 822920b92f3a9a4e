"""`rat evaluate --detectability`: discs of a phantom, or discs that are planted in a scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ratcli import __version__
from ratcli.batch.evaluating import MeasuredScan
from ratcli.batch.pages import plan_pages, versions, write_file, write_text
from ratcli.commands.planted import evaluate_planted
from ratcli.errors import InputNotFoundError, UnsuitableInputError, UsageError
from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.detectability import disc_rows
from ratcli.evaluation.export import csv_text
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.region_files import drawn_regions
from ratcli.evaluation.report import PageFacts, render_file
from ratcli.evaluation.results import Evaluation
from ratcli.formats import find_scans, open_scan
from ratcli.formats.atomic import check_free
from ratcli.formats.metaimage import SUFFIXES, read_metaimage
from ratcli.scan import FloatArray

if TYPE_CHECKING:
    from ratcli.commands.batches import Listener
    from ratcli.commands.evaluate import EvaluateOptions

PRESENT, ABSENT = "signal_present", "signal_absent"
_SKEW = 0.01


@dataclass(frozen=True)
class Repeats:
    """Repeated images of one phantom: with and without its discs, `(N, H, W)` and `(M, H, W)`."""

    present: FloatArray
    absent: FloatArray
    spacing_mm: float
    unit: str | None


def has_signal_folders(path: Path) -> bool:
    """Return whether a path is a folder with images with and without a signal."""
    return (path / PRESENT).is_dir() and (path / ABSENT).is_dir()


def evaluate_detectability(
    paths: Sequence[Path], options: EvaluateOptions, listener: Listener
) -> list[MeasuredScan]:
    """Measure how well discs are detected; see `ratcli.commands.evaluate.evaluate`.

    The images of a phantom are in two folders inside a folder; anything else is a CT scan.

    Raises:
        UsageError: no discs of the phantom were given, or several scans.
        RatError: images cannot be read, or are too few.
    """
    has_scan = not any((path / kind).is_dir() for path in paths for kind in (PRESENT, ABSENT))
    if has_scan and len(paths) > 1:
        raise UsageError(
            f"discs are planted in one scan at a time, but {len(paths)} paths were given",
            hint=f"Folders of phantoms need folders {PRESENT} and {ABSENT}.",
        )
    if options.report is not None and options.report.suffix.lower() == ".dcm":
        raise UsageError("a report on detectability cannot be DICOM", hint="Name it .pdf or .html.")
    pages = None if options.report is None else plan_pages(options.report, [p.name for p in paths])
    for output in (*(pages.each if pages else ()), *([options.csv] if options.csv else ())):
        check_free(output, overwrite=options.if_exists != "error")
    if has_scan:
        measured = [MeasuredScan(paths[0].name, evaluate_planted(paths[0], options, listener), "")]
    else:
        measured = _phantoms(paths, options, listener)
    for one in measured:
        listener.result(one)
    for page, one in zip(pages.each if pages else (), measured, strict=False):
        facts = {"settings": f"internal noise {options.internal_noise:g}", **versions()}
        told = PageFacts(one.name, __version__, facts)
        write_file(page, render_file(page.suffix, one.found, told), options.if_exists)
    if options.csv is not None:
        write_text(
            options.csv, csv_text([(one.name, one.found) for one in measured]), options.if_exists
        )
    return measured


def _phantoms(
    paths: Sequence[Path], options: EvaluateOptions, listener: Listener
) -> list[MeasuredScan]:
    """Return the figures of folders of phantoms."""
    discs, measured = _discs(options), []
    with listener.working(len(paths)):
        for path in paths:
            listener.check()
            measured.append(MeasuredScan(path.name, _measured(path, discs, options), ""))
    return measured


def _discs(options: EvaluateOptions) -> dict[str, Disc]:
    """Return the discs to detect, by name.

    Raises:
        UsageError: none were given.
    """
    regions = None
    if options.regions is not None and options.regions.suffix.lower() == ".json":
        regions = drawn_regions(options.regions)
    shapes = {} if regions is None else {regions.names[at]: it for at, it in regions.shapes.items()}
    discs = {name: shape for name, shape in shapes.items() if isinstance(shape, Disc)}
    if not discs:
        raise UsageError(
            "the places of the discs are not known",
            hint='Give --regions FILE.json with {"regions": [{"name": "5 mm", "disc": [row, '
            "column, radius]}]}, in pixels.",
        )
    return discs


def _measured(path: Path, discs: Mapping[str, Disc], options: EvaluateOptions) -> Evaluation:
    """Return the figures of one folder, and of the input and the reference beside it.

    Raises:
        RatError: images cannot be read, or are too few.
    """
    named = {RESTORED: path, INPUT: options.input, REFERENCE: options.reference}
    read = {name: _repeats(each, options) for name, each in named.items() if each is not None}
    first = read[RESTORED]
    rows = [
        row
        for name, each in read.items()
        for row in disc_rows(
            name, each.present, each.absent, discs, each.spacing_mm, options.internal_noise
        )
    ]
    planes, height, width = first.present.shape
    spacing = (None, first.spacing_mm, first.spacing_mm)
    return Evaluation(planes, height, width, spacing, first.unit, detectability=tuple(rows))


def _repeats(path: Path, options: EvaluateOptions) -> Repeats:
    """Read the images of a folder.

    Raises:
        InputNotFoundError: there is no such folder, or no image in it.
        UnsuitableInputError: images differ in size, or their pixels are not square.
    """
    if not has_signal_folders(path):
        raise InputNotFoundError(
            f"{path.name} has no folders {PRESENT} and {ABSENT}",
            hint="--input and --reference need them, too.",
        )
    present, absent = (list(_images(path / kind, options)) for kind in (PRESENT, ABSENT))
    facts = {(each.planes.shape[1:], each.spacing_mm) for each in (*present, *absent)}
    units = {each.unit for each in (*present, *absent)}
    if len(facts) > 1 or len(units) > 1:
        raise UnsuitableInputError(f"the images of {path.name} differ in size, spacing or unit")
    rows, columns = present[0].spacing_mm
    if not rows or not columns or abs(rows / columns - 1) > _SKEW:
        raise UnsuitableInputError(
            f"the images of {path.name} have no square pixels of known size, which disc sizes need"
        )
    stacks = [np.concatenate([each.planes for each in images]) for images in (present, absent)]
    return Repeats(stacks[0], stacks[1], rows, units.pop())


class _Images(NamedTuple):
    """Planes `(N, H, W)` of one file, their pixel spacing and unit."""

    planes: FloatArray
    spacing_mm: tuple[float | None, float | None]
    unit: str | None


def _images(folder: Path, options: EvaluateOptions) -> Iterator[_Images]:
    """Yield the images of a folder: MetaImage, or what `rat` reads as scans."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    for path in files:
        yield _Images(*read_metaimage(path, options.max_pixels), options.unit)
    if files:
        return
    for source in find_scans(folder):
        opened = open_scan(source, max_pixels=options.max_pixels, assume_unit=options.unit)
        with opened as reader:
            info = reader.info
            planes = np.concatenate([reader.read(plane)[:1] for plane in range(info.planes)])
            yield _Images(planes, info.spacing_mm[1:], info.unit)
