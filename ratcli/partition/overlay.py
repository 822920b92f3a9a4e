"""Regions drawn over a picture: borders, and colours that differ between neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ratcli.regions import LabelArray

Picture = npt.NDArray[np.uint8]

# Colours that people with colour blindness can distinguish (Okabe and Ito 2008), and three more.
_PALETTE = np.array(
    [
        (86, 180, 233),
        (230, 159, 0),
        (0, 158, 115),
        (240, 228, 66),
        (204, 121, 167),
        (0, 114, 178),
        (213, 94, 0),
        (170, 170, 255),
        (150, 240, 190),
        (255, 190, 190),
    ],
    np.float32,
)
_TINT = 0.3
_BORDER = (255, 220, 0)
_SMALL = 384


def draw_regions(picture: Picture, labels: LabelArray) -> Picture:
    """Tint each region and draw its border.

    Args:
        picture: uint8 `(H, W, 3)`.
        labels: `(H, W)`, any numbers.

    Returns:
        uint8 `(s H, s W, 3)`: small planes are enlarged by a whole number s.
    """
    scale = max(1, -(-_SMALL // max(labels.shape)))
    picture = picture.repeat(scale, 0).repeat(scale, 1)
    labels = labels.repeat(scale, 0).repeat(scale, 1)
    tint = _PALETTE[colour_numbers(labels) % len(_PALETTE)]
    drawn = np.rint(picture * (1 - _TINT) + tint * _TINT).astype(np.uint8)
    drawn[_borders(labels)] = _BORDER
    return drawn


def colour_numbers(labels: LabelArray) -> npt.NDArray[np.int64]:
    """Number colours from 0, so that neighbouring regions differ: `(H, W)`.

    Regions are coloured in their order, each with the lowest number that no neighbour has.
    """
    values, inverse = np.unique(labels, return_inverse=True)
    numbered = inverse.reshape(labels.shape)
    neighbours: list[set[int]] = [set() for _ in values]
    for one, other in _touching(numbered):
        neighbours[one].add(other)
        neighbours[other].add(one)
    colours = np.full(values.size, -1, np.int64)
    for region, beside in enumerate(neighbours):
        used = {int(colours[other]) for other in beside}
        colours[region] = next(n for n in range(len(used) + 1) if n not in used)
    return colours[numbered]


def _touching(numbered: npt.NDArray[np.integer]) -> list[tuple[int, int]]:
    """Pairs of regions that share a pixel's edge or corner."""
    pairs = [
        (numbered[:, :-1], numbered[:, 1:]),
        (numbered[:-1], numbered[1:]),
        (numbered[:-1, :-1], numbered[1:, 1:]),
        (numbered[:-1, 1:], numbered[1:, :-1]),
    ]
    found = np.concatenate([np.stack([a[a != b], b[a != b]], axis=1) for a, b in pairs])
    return [(int(a), int(b)) for a, b in np.unique(found, axis=0)]


def _borders(labels: LabelArray) -> npt.NDArray[np.bool_]:
    """True at pixels whose right or lower neighbour belongs to another region."""
    edges = np.zeros(labels.shape, np.bool_)
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges
