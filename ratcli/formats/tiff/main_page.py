"""Which page of a TIFF is the image: the largest one in full resolution, wherever it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ratcli.errors import UnsuitableInputError
from ratcli.formats.wording import counted

REDUCED = 1
"""Bit of the tag NewSubfileType: the page is a smaller version of another."""

_MASK = 4  # bit of NewSubfileType: a transparency mask of another page


def main_page(pages: Sequence[Any], chosen: int | None = None) -> Any:
    """Return the first page of the largest images that are no smaller versions and no masks.

    Args:
        pages: tifffile's pages, in the order of the file.
        chosen: number of the page that the user names, from 1, or None.

    Raises:
        UnsuitableInputError: several kinds of images are equally large, or no page has the number.
    """
    if chosen is not None:
        return _page_number(pages, chosen)
    whole = [page for page in pages if not page.subfiletype & (REDUCED | _MASK)]
    whole = whole or list(pages)
    most = max(_pixels(page) for page in whole)
    largest = [page for page in whole if _pixels(page) == most]
    first = largest[0]
    rivals = [page for page in largest if _competes(first, page)]
    if rivals and most > 0:
        found = " and ".join(
            f"page {1 + pages.index(page)}, {page.imagelength} x {page.imagewidth} of {page.dtype}"
            for page in (first, rivals[0])
        )
        raise UnsuitableInputError(
            f"the file has several images of the same number of pixels ({found})",
            hint="Choose one with --image and the number of its page.",
        )
    return first


def _page_number(pages: Sequence[Any], number: int) -> Any:
    if number > len(pages):
        raise UnsuitableInputError(
            f"the file has {counted(len(pages), 'page')}, but --image is {number}"
        )
    return pages[number - 1]


def likeness(page: Any) -> tuple[Any, ...]:
    """Return what the planes of one scan have in common."""
    return (
        page.imagelength,
        page.imagewidth,
        page.dtype,
        page.bitspersample,
        page.samplesperpixel,
        page.photometric,
    )


def _competes(first: Any, page: Any) -> bool:
    """Return whether a page of the same number of pixels is another image like the first.

    One with other channels, such as a gray mask beside colours, comes with it.
    """
    is_like = page.samplesperpixel == first.samplesperpixel
    return is_like and likeness(page)[:4] != likeness(first)[:4]


def _pixels(page: Any) -> int:
    return int(page.imagelength or 0) * int(page.imagewidth or 0)
