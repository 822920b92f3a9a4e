"""Which page of a TIFF is the image, and which ones are smaller versions of it.

The image is the largest one in full resolution, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ratcli.errors import UnsuitableInputError
from ratcli.formats.wording import counted

REDUCED = 1
"""Bit of the tag NewSubfileType: the page is a smaller version of another."""

_MASK = 4  # bit of NewSubfileType: a transparency mask of another page


_GRAY = (0, 1)  # PhotometricInterpretation
_MOST_NAMED = 4


@dataclass(frozen=True)
class Stacks:
    """Which pages are the planes of one image.

    Attributes:
        told: number of the image that the file gives each page, by the page's offset; pages of
            which it says nothing are absent.
        are_apart: whether gray pages of which the file says nothing are images, too, because the
            user names one of them.
    """

    told: Mapping[int, int]
    are_apart: bool = False

    def hold(self, first: Any, page: Any) -> bool:
        """Return whether a page is a plane of the image that another page belongs to."""
        if page is first:
            return True
        one, other = self.told.get(first.offset), self.told.get(page.offset)
        is_told = one is not None or other is not None
        is_stack = first.photometric in _GRAY and not self.are_apart
        return likeness(page) == likeness(first) and (one == other if is_told else is_stack)


def main_page(pages: Sequence[Any], stacks: Stacks, chosen: int | None = None) -> Any:
    """Return the first page of the largest images that are no smaller versions and no masks.

    Args:
        pages: tifffile's pages, in the order of the file.
        stacks: which of them are planes of one image.
        chosen: number of the page that the user names, from 1, or None.

    Raises:
        UnsuitableInputError: several images are equally large, or no page has the number.
    """
    if chosen is not None:
        return _page_number(pages, chosen)
    whole = [page for page in pages if not page.subfiletype & (REDUCED | _MASK)]
    whole = whole or list(pages)
    most = max(_pixels(page) for page in whole)
    images = _images([page for page in whole if _pixels(page) == most], stacks)
    if len(images) > 1 and most > 0:
        found = "; ".join(
            f"page {1 + pages.index(page)}, {page.imagelength} x {page.imagewidth} of {page.dtype}"
            for page in images[:_MOST_NAMED]
        )
        more = "; and more" if len(images) > _MOST_NAMED else ""
        raise UnsuitableInputError(
            f"the file has several images of the same number of pixels ({found}{more})",
            hint="Choose one with --image N, the number of its page.",
        )
    return images[0]


def _images(pages: Sequence[Any], stacks: Stacks) -> list[Any]:
    """Return the first page of each image, of at most one more than are named.

    Pages with other channels, such as a gray mask beside colours, come with the first image.
    """
    images: list[Any] = []
    for page in pages:
        is_like = not images or page.samplesperpixel == images[0].samplesperpixel
        if is_like and not any(stacks.hold(image, page) for image in images):
            images.append(page)
        if len(images) > _MOST_NAMED:
            break
    return images


def _page_number(pages: Sequence[Any], number: int) -> Any:
    if number > len(pages):
        raise UnsuitableInputError(
            f"the file has {counted(len(pages), 'page')}, but --image is {number}"
        )
    return pages[number - 1]


def smaller_versions(first: Any, pages: Sequence[Any], kind: str) -> list[Any]:
    """Return the smaller versions of a page: marked so, or tiled, and of its proportions.

    Args:
        first: the page.
        pages: those that follow it.
        kind: of the file, see `TiffPages`.
    """
    levels, last = [], first
    for page in pages:
        is_marked = bool(page.subfiletype & REDUCED) and kind != "svs"
        is_smaller = page.is_tiled and first.is_tiled and page.imagewidth < last.imagewidth
        is_smaller = is_smaller and kind != "ome"  # its levels are SubIFDs, others are images
        if (is_marked or is_smaller) and _same_proportions(first, page):
            levels.append(page)
            last = page
    return levels


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


def _pixels(page: Any) -> int:
    return int(page.imagelength or 0) * int(page.imagewidth or 0)


def _same_proportions(first: Any, page: Any) -> bool:
    if page.samplesperpixel != first.samplesperpixel or not page.imagewidth or not page.imagelength:
        return False
    factor = float(first.imagewidth / page.imagewidth)
    lacking = abs(int(first.imagelength) - int(page.imagelength) * factor)
    return factor > 1 and lacking <= 2 * factor
