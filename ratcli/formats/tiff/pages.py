"""Which pages of a TIFF are planes, which are smaller versions, and which are only copied."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tifffile

from ratcli.errors import RatError, UnreadableInputError
from ratcli.formats.tiff import ome
from ratcli.formats.tiff.budget import MOST_PAGES, check_tags
from ratcli.formats.tiff.main_page import REDUCED, Stacks, main_page, smaller_versions
from ratcli.formats.tiff.metadata import Resolution

Kind = Literal["svs", "ome", "imagej", "shaped", "plain"]

IMAGEJ_COUNTS, IMAGEJ_DATA = 50838, 50839
"""Tags of ImageJ's metadata: the bytes of each part, and the parts."""

_MAX_DESCRIPTION = 64 << 20

# Its warnings quote tags; what matters is raised as a RatError instead.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class TiffPages:
    """The pages of an open TIFF, sorted by what they are for.

    Attributes:
        file: tifffile's open file.
        kind: the software that wrote it, if that changes the meaning of tags.
        planes: a page for each plane, and the offset of its data from that page's.
        levels: smaller versions of the first plane.
        others: pages of another size (a label, a thumbnail, which may come first); copied as they
            are.
        linked: the SubIFDs of each of the others that has some, by the offset of that page.
        sequence: all pages but the levels, in the order of the file.
        image: number of the image in an OME-XML, from 0; see `ome`.
    """

    file: Any
    kind: Kind
    planes: tuple[tuple[Any, int], ...]
    levels: tuple[Any, ...]
    others: tuple[Any, ...]
    linked: Mapping[int, tuple[Any, ...]]
    sequence: tuple[Any, ...]
    image: int = 0

    @property
    def first(self) -> Any:
        """The page of the first plane."""
        return self.planes[0][0]

    @property
    def head(self) -> Any:
        """The first page of the file, which may be a thumbnail."""
        return self.sequence[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a plane."""
        return int(self.first.imagelength), int(self.first.imagewidth)

    @property
    def has_pyramid(self) -> bool:
        """Whether the file holds smaller versions of its planes."""
        return bool(self.levels) or bool(self.first.subifds)

    @property
    def links_levels(self) -> bool:
        """Whether smaller versions are SubIFDs of their plane, and no pages."""
        return self.kind == "ome" or bool(self.first.subifds)

    def description(self) -> bytes:
        """Return the ImageDescription as it is in the file; that of an OME-TIFF is in its head."""
        return raw_value(self.head if self.kind == "ome" else self.first, 270)

    def resolution(self) -> Resolution | None:
        """Return the resolution tags of the first plane, None if they are missing."""
        x, y = self.first.tags.valueof(282), self.first.tags.valueof(283)
        unit = self.first.tags.valueof(296)
        if not (_is_ratio(x) and _is_ratio(y)):
            return None
        return Resolution(x, y, int(unit) if unit is not None else 2)


@contextlib.contextmanager
def structure_errors(what: str) -> Iterator[None]:
    """Turn every error that tifffile raises on a damaged structure into an UnreadableInputError."""
    try:
        yield
    except RatError:
        raise
    except Exception as error:  # struct, index, recursion, memory and tifffile's own errors
        raise UnreadableInputError(
            f"{what} is damaged", hint="The file is truncated or is not a TIFF."
        ) from error


def open_pages(path: Path, image: int | None = None) -> TiffPages:
    """Open a TIFF and sort its pages; no pixel is read.

    Args:
        path: the file.
        image: page that is the image, from 1; None for the largest in full resolution.

    Raises:
        UnreadableInputError: the structure is damaged, or the planes are in other files.
    """
    with structure_errors("the structure of the TIFF file"):
        check_tags(path)
        file = tifffile.TiffFile(path, _multifile=False)
    try:
        with structure_errors("the structure of the TIFF file"):
            return _sort_pages(file, _read_pages(file), image)
    except BaseException:
        file.close()
        raise


def raw_value(page: Any, code: int) -> bytes:
    """Return the bytes of a tag's value as they are in the file; none if it is missing."""
    tag = page.tags.get(code)
    if tag is None:
        return b""
    handle = page.parent.filehandle
    size = int(tag.valuebytecount)
    if not 0 <= size <= min(_MAX_DESCRIPTION, int(handle.size)):
        raise UnreadableInputError(f"tag {code} declares {size} bytes, more than the file holds")
    with handle.lock:
        handle.seek(tag.valueoffset)
        data: bytes = handle.read(size)
    if len(data) < size:
        raise UnreadableInputError(f"the value of tag {code} lies outside the file")
    return data


def segment_bytes(page: Any, offset: int, count: int) -> bytes:
    """Return the stored bytes of a tile or strip; none if they lie outside the file."""
    handle = page.parent.filehandle
    if count <= 0 or offset <= 0 or offset + count > int(handle.size):
        return b""
    with handle.lock:
        handle.seek(offset)
        data: bytes = handle.read(count)
    return data


def imagej_facts(page: Any) -> tuple[bytes, tuple[int, ...], str]:
    """Return a page's metadata of ImageJ as they are in the file, byte counts and byte order."""
    order = str(page.parent.byteorder)
    counts = raw_value(page, IMAGEJ_COUNTS)
    numbers = struct.unpack(f"{order}{len(counts) // 4}I", counts[: len(counts) // 4 * 4])
    return raw_value(page, IMAGEJ_DATA), numbers, order


def _read_pages(file: Any) -> list[Any]:
    pages: list[Any] = []
    seen: set[int] = set()
    for index in range(MOST_PAGES):
        try:
            page = file.pages[index]
        except IndexError:
            break
        if page.offset in seen:  # the links form a cycle
            break
        seen.add(page.offset)
        pages.append(page)
    else:
        raise UnreadableInputError(f"the file has more than {MOST_PAGES} pages")
    if not pages:
        raise UnreadableInputError("the file has no page that can be read")
    return pages


def _sort_pages(file: Any, pages: list[Any], image: int | None) -> TiffPages:
    kind = _kind(pages[0])
    _refuse_foreign(file, pages[0], kind)
    told = _told_images(pages, kind)
    stacks = Stacks({pages[at].offset: number for at, number in told.items()}, image is not None)
    image = 1 if image is None and kind in ("svs", "imagej") else image
    first = main_page(pages, stacks, image)
    levels = smaller_versions(first, pages[pages.index(first) + 1 :], kind)
    smaller = {page.offset for page in levels}  # the offset in the file identifies a page
    sequence = [page for page in pages if page.offset not in smaller]
    own = [page for page in sequence if page is first or _is_plane(first, page, kind, stacks)]
    taken = {page.offset for page in own}
    others = [
        page
        for page in sequence
        if page.offset not in taken and page.imagewidth and page.imagelength
    ]
    planes = [(page, 0) for page in own]
    if len(own) == 1:
        planes = [(first, shift) for shift in _shifts(first, kind)]
    return TiffPages(
        file=file,
        kind=kind,
        planes=tuple(planes),
        levels=tuple(levels),
        others=tuple(others),
        linked={page.offset: _linked(page) for page in others if page.subifds},
        sequence=tuple(sequence),
        image=told.get(pages.index(own[0]), 0) if kind == "ome" else 0,
    )


def _kind(page: Any) -> Kind:
    if page.is_svs:
        return "svs"
    if page.is_ome:
        return "ome"
    if page.is_imagej:
        return "imagej"
    return "shaped" if page.is_shaped else "plain"


def _refuse_foreign(file: Any, first: Any, kind: Kind) -> None:
    if kind == "ome" and ome.names_other_files(first.description):
        raise UnreadableInputError(
            "the OME-TIFF spreads its planes over several files",
            hint="Convert it to a single file first.",
        )
    if file.is_stk:
        raise UnreadableInputError("MetaMorph stacks (STK) are not read")
    if first.imagedepth > 1:
        raise UnreadableInputError(f"a page holds {first.imagedepth} planes in depth, expected one")


def _told_images(pages: list[Any], kind: Kind) -> dict[int, int]:
    """Return the number of the image of which a page is a plane, for each page that tells it."""
    told: dict[int, int] = {}
    if kind == "ome":
        sizes = [(int(page.imagelength), int(page.imagewidth)) for page in pages]
        text = raw_value(pages[0], 270).decode("utf-8", "replace")
        by_size = {size: ome.image_of_size(text, size) for size in set(sizes)}
        told = {index: by_size[size] for index, size in enumerate(sizes)}
        return told | ome.images_of_pages(text, len(pages))
    if kind == "imagej":
        return dict.fromkeys(range(len(pages)), 0)
    for index, page in enumerate(pages if kind == "shaped" else ()):
        planes = _shaped_planes(page) if page.is_shaped else 1
        if planes > 1:
            told |= dict.fromkeys(range(index, min(index + planes, len(pages))), index)
    return told


def _shaped_planes(page: Any) -> int:
    """Return how many planes the JSON that tifffile puts into a description says."""
    try:
        shape = [int(length) for length in json.loads(page.description)["shape"]]
    except (ValueError, KeyError, TypeError):
        return 1
    return int(math.prod(shape) // max(1, math.prod(page.shape)))


def _is_plane(first: Any, page: Any, kind: Kind, stacks: Stacks) -> bool:
    """Return whether a page is another plane like the first."""
    return kind != "svs" and not page.subfiletype & REDUCED and stacks.hold(first, page)


def _shifts(page: Any, kind: Kind) -> list[int]:
    """Return the offsets of the planes that share a single page (large ImageJ stacks)."""
    count = 1
    if kind == "imagej":
        count = int((page.parent.imagej_metadata or {}).get("images", 1))
    elif kind == "shaped":
        facts: dict[str, Any] = next(iter(page.parent.shaped_metadata or ()), {})
        if facts.get("truncated"):
            count = math.prod(facts.get("shape", ())) // max(1, math.prod(page.shape))
    if count <= 1 or int(page.compression) != 1 or not page.is_contiguous:
        return [0]
    plane_bytes = math.prod(page.shape) * page.bitspersample // 8
    there = (int(page.parent.filehandle.size) - int(page.dataoffsets[0])) // plane_bytes
    if count > there:
        raise UnreadableInputError(f"the file declares {count} planes, but holds {there}")
    return [number * plane_bytes for number in range(count)]


def _linked(page: Any) -> tuple[Any, ...]:
    """Return the pages that the SubIFDs of a page are, each once."""
    return tuple({level.offset: level for level in page.pages}.values())


def _is_ratio(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and min(value) > 0
