"""What an OME-XML says about the images of a TIFF, and the OME-XML of a finer grid.

An image is named by its number, in the order of the OME-XML, since several may have one size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from ratcli.formats.tiff.annotations import finer_ome_rois

_MM_PER_UNIT = {"nm": 1e-6, "µm": 1e-3, "um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0}
_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^<>]*>")
_TIFF_DATA = re.compile(r"<(?:\w+:)?TiffData\b[^<>]*>")


def names_other_files(description: str) -> bool:
    """Return whether an OME-XML spreads its planes over several files."""
    return len(set(re.findall(r"<UUID[^<>]*>\s*([^<\s]+)", description))) > 1


def images_of_pages(description: str, pages: int) -> dict[int, int]:
    """Return the number of the image to which each page belongs, as far as it is told.

    Args:
        description: the OME-XML.
        pages: how many the file has.

    Source: OME-XML schema, TiffData (IFD, PlaneCount).
    """
    # Elements that claim the same pages again and again could take hours.
    return dict(islice(_claims(description, pages), 2 * pages))


def image_of_size(description: str, size: tuple[int, int]) -> int:
    """Return the number of the first image of a height and width; 0 if there is none."""
    found = _PIXELS.findall(description)
    sizes = [(attribute(each, "SizeY"), attribute(each, "SizeX")) for each in found]
    wanted = (str(size[0]), str(size[1]))
    return sizes.index(wanted) if wanted in sizes else 0


def pixels_element(description: str, image: int) -> str:
    """Return the Pixels element of an image; empty if there is none."""
    return next(islice(_PIXELS.findall(description), image, None), "")


def attribute(element: str, name: str) -> str | None:
    """Return the value of an attribute, or None."""
    found = re.search(rf'\b{name}="([^"]*)"', element)
    return found.group(1) if found else None


def length_mm(description: str, axis: str, image: int) -> float | None:
    """Return the distance of pixels along an axis of an image, None if it is unknown."""
    pixels = pixels_element(description, image)
    unit = attribute(pixels, f"PhysicalSize{axis}Unit") or "µm"
    mm = _MM_PER_UNIT.get(unit.replace("&#181;", "µ").replace("μ", "µ"))
    try:
        length = float(attribute(pixels, f"PhysicalSize{axis}") or 0)
    except ValueError:
        return None
    return length * mm if length > 0 and mm else None


def finer(description: bytes, scale: int, image: int) -> bytes:
    """Return an OME-XML with an image, and its regions of interest, on a finer grid.

    It names no files, since the file has a new name.
    """
    text = finer_ome_rois(_without_file_names(_decoded(description)), scale, image)

    def finer_pixels(element: str) -> str:
        element = re.sub(r'(\bSize[XY]=")(\d+)', lambda m: f"{m[1]}{int(m[2]) * scale}", element)
        return re.sub(r'(\bPhysicalSize[XY]=")([^"]+)', lambda m: _divided(m, scale), element)

    return _encoded(_with_pixels(text, image, finer_pixels))


def floating(description: bytes, image: int) -> bytes:
    """Return an OME-XML in which the samples of an image are float32."""

    def floating_pixels(element: str) -> str:
        element = re.sub(r'\sSignificantBits="[^"]*"', "", element)
        return re.sub(r'(\sType=")[^"]*', r"\1float", element)

    return _encoded(_with_pixels(_decoded(description), image, floating_pixels))


def _claims(description: str, pages: int) -> Iterator[tuple[int, int]]:
    """Yield a page and the number of its image for each page of each TiffData element."""
    starts = [match.start() for match in _PIXELS.finditer(description)]
    ends = [*starts[1:], len(description)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=False)):
        for match in _TIFF_DATA.finditer(description, start, end):
            first, count = (_whole(attribute(match[0], name)) for name in ("IFD", "PlaneCount"))
            if count is None:
                count = pages if first is None else 1
            first = first or 0
            yield from ((page, number) for page in range(first, min(first + count, pages)))


def _with_pixels(text: str, image: int, change: Callable[[str], str]) -> str:
    """Return a text with the Pixels element of an image changed."""
    match = next(islice(_PIXELS.finditer(text), image, None), None)
    return text if match is None else text[: match.start()] + change(match[0]) + text[match.end() :]


def _without_file_names(text: str) -> str:
    """Remove file names and UUIDs from an OME-XML."""
    text = re.sub(r"<(\w+:)?UUID\b[^<>]*>[^<]*</(\w+:)?UUID>", "", text)
    return re.sub(r'(<(?:\w+:)?OME\b[^<>]*?)\sUUID="[^"]*"', r"\1", text)


def _divided(match: re.Match[str], divisor: int) -> str:
    try:
        return f"{match[1]}{float(match[2]) / divisor:.10g}"
    except ValueError:
        return match[0]


def _whole(text: str | None) -> int | None:
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if is_number and text is not None else None


def _decoded(description: bytes) -> str:
    return description.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
