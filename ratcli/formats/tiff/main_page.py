"""Which page of a TIFF is the image: the largest one in full resolution, wherever it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ratcli.errors import UnreadableInputError

REDUCED = 1
"""Bit of the tag NewSubfileType: the page is a smaller version of another."""

_MASK = 4  # bit of NewSubfileType: a transparency mask of another page


def main_page(pages: Sequence[Any]) -> Any:
    """Return the first page of the largest images that are no smaller versions and no masks.

    Args:
        pages: tifffile's pages, in the order of the file.

    Raises:
        UnreadableInputError: several kinds of images are equally large.
    """
    whole = [page for page in pages if not page.subfiletype & (REDUCED | _MASK)]
    whole = whole or list(pages)
    most = max(_pixels(page) for page in whole)
    largest = [page for page in whole if _pixels(page) == most]
    first = largest[0]
    rivals = [page for page in largest if _competes(first, page)]
    if rivals and most > 0:
        found = " and ".join(_described(page) for page in (first, rivals[0]))
        raise UnreadableInputError(
            f"the file has several images of the same number of pixels ({found})",
            hint="Save the one to restore as a file of its own.",
        )
    return first


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


def _described(page: Any) -> str:
    return f"{page.imagelength} x {page.imagewidth} of {page.dtype}"
