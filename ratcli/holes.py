"""Holes: pixels without a measurement inside an object, and what takes their place for filters.

A network, a partition or a filter that meets such a pixel as air sees an edge, and spoils the
pixels around it. Here a hole gets what its surroundings suggest: the mean of the measured pixels
near it, and farther from its border the mean at the nearest of them. The values are only looked
at, never written; where a hole is stays known from the mask.

What reaches the frame of the image and is more than a few pixels deep, as the corners outside a
scanner's circle or all that a mask leaves out, is no hole but the surroundings of the object.

Source: Knutsson and Westin, Normalized and differential convolution, CVPR 1993 (means of what is
measured).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import (
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    label,
    minimum_filter,
)

from ratcli.scan import BoolArray, FloatArray
from ratcli.task import Task

# Standard deviation and reach in pixels of the Gaussian whose mean fills a hole.
_NEAR_PX, _REACH_PX = 1.2, 3
# What reaches the frame, and is at most so many pixels deep, is a hole too.
_THIN_PX = 3
# Pixels that touch by a corner belong together.
_TOUCHING = np.ones((3, 3), np.bool_)
_LEAST_WEIGHT = np.float32(1e-4)

_LabelArray = npt.NDArray[np.int32]


def not_measured(values: FloatArray, padding: BoolArray) -> BoolArray:
    """Return `(H, W)`, true where a plane `(C, H, W)` is padding or not finite in a channel."""
    return padding | ~np.isfinite(values).all(0)


def surroundings(hidden: BoolArray) -> BoolArray:
    """Return `(H, W)`, true where a pixel of a plane is hidden and is in no hole."""
    labels = _holes(hidden)
    return hidden if labels is None else np.asarray(hidden & (labels == 0))


def seen_by_network(
    task: Task, values: FloatArray, hidden: BoolArray, outer: BoolArray | None = None
) -> FloatArray:
    """Map a plane to the network's values, with holes filled.

    Args:
        task: whose network; its lowest value stands for the surroundings of the object.
        values: `(C, H, W)` in the task's first unit.
        hidden: `(H, W)`, true where there is no measurement.
        outer: where it surrounds the object, see `fill_holes`.
    """
    lowest = np.float32(task.window[0])
    # Colours that alpha hides, and that surround an object, are seen as they are: mostly white.
    unseen = hidden if task.channels == 1 else ~np.isfinite(values)
    normal = task.normalise(np.where(unseen, lowest, values))
    around = np.float32((lowest - task.offset) / task.gain) if task.channels == 1 else normal
    return fill_holes(normal, hidden, around, outer)


def fill_holes(
    values: FloatArray,
    hidden: BoolArray,
    around: np.float32 | FloatArray,
    outer: BoolArray | None = None,
) -> FloatArray:
    """Return a plane in which holes are filled.

    Args:
        values: `(C, H, W)` in any unit.
        hidden: `(H, W)`, true where there is no measurement; what the values are there is not used.
        around: value of the surroundings of the object, or such values `(C, H, W)`.
        outer: `(H, W)`, the `surroundings` in a pane, as they are in the whole plane: a hole that
            the border of a pane cuts is still a hole. None for a whole plane.

    Returns:
        float32 `(C, H, W)`; the plane itself if nothing is hidden.
    """
    if not hidden.any():
        return values
    filled: FloatArray = np.where(hidden, around, values).astype(np.float32, copy=False)
    labels = _holes(hidden) if outer is None else label(hidden & ~outer, _TOUCHING)[0]
    if labels is None or not labels.any() or hidden.all():
        return filled
    rows, columns = box = _widened(find_objects(labels > 0, 1)[0], _REACH_PX, hidden.shape)
    filled[:, rows, columns] = _inpainted(filled[:, rows, columns], hidden[box], labels[box])
    return filled


def _holes(hidden: BoolArray) -> _LabelArray | None:
    """Number the holes, `(H, W)` with 0 elsewhere; None if there is none."""
    labels, count = label(hidden, _TOUCHING)
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    if any(edge.any() for edge in edges):
        # Beyond the frame counts as hidden, so that a strip along it is as deep as it is wide.
        deep = minimum_filter(hidden, 2 * _THIN_PX + 1, mode="constant", cval=1)
        is_outer, is_deep = np.zeros((2, count + 1), np.bool_)
        is_outer[np.concatenate(edges)] = True
        is_deep[labels[deep]] = True
        labels[(is_outer & is_deep)[labels]] = 0
    return labels if labels.any() else None


def _widened(places: tuple[slice, ...], by: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return slices that reach farther on all sides, up to the frame."""
    rows, columns = (
        slice(max(0, place.start - by), min(size, place.stop + by))
        for place, size in zip(places, shape, strict=True)
    )
    return rows, columns


def _inpainted(values: FloatArray, hidden: BoolArray, labels: _LabelArray) -> FloatArray:
    """Return `(C, h, w)` with the mean of the measured pixels nearby in each hole."""
    measured = (~hidden).astype(np.float32)
    weight = _mean_nearby(measured)
    smooth = np.stack([_mean_nearby(channel * measured) for channel in values])
    smooth /= np.maximum(weight, _LEAST_WEIGHT)
    holes = labels > 0
    deep = np.unique(labels[holes & (weight < _LEAST_WEIGHT)])
    places = find_objects(labels) if deep.size else []
    for number in deep:
        rows, columns = box = _widened(places[number - 1], 1, hidden.shape)
        # The nearest measured pixel is next to the hole, so that the box holds it.
        nearest = distance_transform_edt(hidden[box], return_distances=False, return_indices=True)
        inside = (labels[box] == number) & (weight[box] < _LEAST_WEIGHT)
        part = smooth[:, rows, columns]
        part[:, inside] = part[:, nearest[0][inside], nearest[1][inside]]
    return np.where(holes, smooth, values)


def _mean_nearby(plane: FloatArray) -> FloatArray:
    near: FloatArray = gaussian_filter(plane, _NEAR_PX, mode="nearest", radius=_REACH_PX)
    return near
