"""Planes in the network's units as 8-bit pictures, and regions drawn over them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ratcli.regions import LabelArray
from ratcli.scan import FloatArray

# -160 to 240 HU in the network's units: the soft-tissue window of the published experiments.
_SOFT = (-0.5, 0.5)
# -1000 to 600 HU: lung, and bone without its brightest part.
_WIDE = (-2.6, 1.4)
# Only CT has values as low: PET and pathology start at 0.
_CT_BELOW = -0.1
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


def soft_picture(plane: FloatArray) -> npt.NDArray[np.uint8]:
    """Show a plane as the authors' pipeline does.

    Args:
        plane: float32 `(1 or 3, H, W)` in the network's units.

    Returns:
        uint8 `(H, W, 3)`: RGB as it is; CT in a soft-tissue window; PET from 0 to its 99.9th
        percentile with the square root's contrast.
    """
    if plane.shape[0] == 3:
        return _to_bytes(np.moveaxis(plane, 0, -1))
    gray = np.nan_to_num(plane[0], nan=-2.6, posinf=2.0, neginf=-2.6)
    return np.repeat(_to_bytes(_gray(gray, _SOFT))[..., None], 3, axis=-1)


def layered_picture(plane: FloatArray) -> npt.NDArray[np.uint8]:
    """Show a gray plane in three contrasts at once, so that lung and bone have edges too.

    Args:
        plane: float32 `(1 or 3, H, W)` in the network's units.

    Returns:
        uint8 `(H, W, 3)`: RGB as it is; gray as soft tissue, wide window and compressed range.
    """
    if plane.shape[0] == 3:
        return _to_bytes(np.moveaxis(plane, 0, -1))
    gray = np.nan_to_num(plane[0], nan=-2.6, posinf=2.0, neginf=-2.6)
    squeezed = np.arcsinh(np.clip(gray, -2.6, 2.0) / 0.25)
    low, high = np.arcsinh(-2.6 / 0.25), np.arcsinh(2.0 / 0.25)
    if gray.min() >= _CT_BELOW:
        low = 0.0
    layers = (_gray(gray, _SOFT), _gray(gray, _WIDE), (squeezed - low) / (high - low))
    return np.stack([_to_bytes(layer) for layer in layers], axis=-1)


def _gray(values: FloatArray, window: tuple[float, float]) -> FloatArray:
    """Map gray values `(H, W)` to about 0..1."""
    if values.min() < _CT_BELOW:
        low, high = window
        return (values - np.float32(low)) / np.float32(high - low)
    top = max(float(np.percentile(values, 99.9)), 1e-6)
    mapped: FloatArray = np.sqrt(np.clip(values / np.float32(top), 0, None))
    return mapped


def _to_bytes(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """0..1 to 0..255, clipped and rounded."""
    return np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)


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
