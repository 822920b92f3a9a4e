"""Restored values of a plane, turned into what is stored in the derived image.

Real-world value maps are adapted to a new rescale slope so that they give the same values.

Source: PS3.3, C.7.6.16.2.11 (real world value mapping).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import format_number_as_ds

from ratcli.formats.dicom.codec import Frame
from ratcli.formats.dicom.elements import integer, items, number
from ratcli.formats.dicom.frame_facts import functional_items
from ratcli.formats.dicom.layout import PixelLayout, StoredArray, WordArray
from ratcli.formats.dicom.values import ValueMap, requantise
from ratcli.scan import BoolArray, Derivation, FloatArray

_PET_TOP = 32767
SIGNED_PADDING = -32768
"""Stored value of padding where unsigned samples got a sign; no measured value is stored so."""
_KEYWORD = "RealWorldValueMappingSequence"


@dataclass(frozen=True)
class StoredPlane:
    """A plane as it is stored.

    Attributes:
        words: unsigned `(rows, columns, samples)`.
        slope: a decimal string, or None if it is that of the source.
    """

    words: WordArray
    slope: str | None = None


def output_layout(
    layout: PixelLayout, *, scale: int, compressed: bool, rescaled: bool, negative: bool = False
) -> PixelLayout:
    """Return the layout of the derived image.

    Args:
        layout: of the source.
        scale: output pixels for each input pixel and axis.
        compressed: whether the output is compressed, which needs interleaved colours.
        rescaled: whether each plane gets a new slope (PET, standard deviations), which needs
            16 bits.
        negative: whether a plane with a new slope may hold negative values, which need a sign
            since the new intercept is 0.
    """
    layout = dataclasses.replace(layout, rows=layout.rows * scale, columns=layout.columns * scale)
    if layout.samples > 1:
        from_422 = layout.photometric == "YBR_FULL_422"
        planar = layout.planar and not compressed and not from_422
        return dataclasses.replace(layout, photometric="RGB", planar=planar)
    if rescaled:
        signed = layout.signed or negative
        return dataclasses.replace(layout, allocated=16, stored=16, high_bit=15, signed=signed)
    return layout


def may_be_negative(layout: PixelLayout, maps: Iterable[ValueMap], derivation: Derivation) -> bool:
    """Return whether values derived from unsigned samples may be below 0.

    Args:
        layout: of the source.
        maps: what the stored values of the source's frames mean.
        derivation: what was done; differences and simulated noise have both signs.
    """
    if derivation.method == "uncertainty":
        return False
    if derivation.method == "simulate" or "residual" in derivation.settings:
        return True
    ends = (item.slope * end + item.intercept for item in maps for end in layout.limits)
    return min(ends) < 0


def set_signed_padding(dataset: Dataset) -> None:
    """Declare the padding of samples that got a sign, if the source had padding."""
    if "PixelPaddingValue" in dataset:
        dataset.add_new("PixelPaddingValue", "SS", SIGNED_PADDING)
    if "PixelPaddingRangeLimit" in dataset:
        del dataset.PixelPaddingRangeLimit


def store_colour(values: FloatArray, layout: PixelLayout) -> StoredPlane:
    """Quantise RGB.

    Args:
        values: `(3, H, W)` from 0 to 1.
        layout: of the output.
    """
    if not np.all(np.isfinite(values)):
        raise ValueError("values to be written must be finite")
    top = (1 << layout.stored) - 1
    samples = np.clip(np.rint(values.astype(np.float64) * top), 0, top).astype(np.int32)
    return StoredPlane(layout.pack(samples.transpose(1, 2, 0)))


def store_gray(
    values: FloatArray, frame: Frame, value_map: ValueMap, source: PixelLayout, out: PixelLayout
) -> StoredPlane:
    """Quantise gray values on the source's own scale; values that did not change keep their bits.

    Args:
        values: `(H, W)` on the output's grid.
        frame: of the source.
        value_map: of the source.
        source: layout of the source.
        out: layout of the output.
    """
    words = _enlarge(frame.words[..., 0], out)
    stored = requantise(values, source.unpack(words), value_map, source)
    same_grid = out == source
    return StoredPlane(out.pack(stored, words if same_grid else None)[..., None])


def store_rescaled(
    values: FloatArray, frame: Frame, value_map: ValueMap, source: PixelLayout, out: PixelLayout
) -> StoredPlane:
    """Quantise activities or standard deviations with a new slope; padding keeps its bits.

    The slope is rounded to a decimal string first and used as rounded, so that no value is off
    by more than half a step. A plane in which nothing changed keeps its slope and its bits, or
    its slope and values if the samples get a sign.

    Args:
        values: `(H, W)` on the output's grid.
        frame: of the source.
        value_map: of the source.
        source: layout of the source.
        out: layout of the output, 16 bits.

    Source: PS3.3, C.8.9.4.1.7 (slope and intercept of PET).
    """
    stored = source.unpack(_enlarge(frame.words[..., 0], out))
    padding = value_map.is_padding(stored)
    changed = (values != value_map.to_values(stored)) & ~padding
    gets_sign = out.signed and not source.signed
    if not changed.any():
        same = (
            _shifted(stored, padding, value_map, out)
            if gets_sign
            else StoredPlane(out.pack(stored)[..., None])
        )
        if same is not None:
            return same
    measured = np.where(padding, np.float32(0), values)
    peak = float(np.abs(measured).max())
    slope = format_number_as_ds(peak / _PET_TOP) if peak > 0 else "1"
    fresh_map = ValueMap(float(slope), 0.0, None if gets_sign else value_map.padding)
    fresh = fresh_map.quantise(measured, _limits(out))
    kept = np.full_like(stored, SIGNED_PADDING) if gets_sign else stored
    return StoredPlane(out.pack(_merge(padding, kept, fresh))[..., None], slope)


def _shifted(
    stored: StoredArray, padding: BoolArray, value_map: ValueMap, out: PixelLayout
) -> StoredPlane | None:
    """Return unchanged values with intercept 0 and their old slope; None if they do not fit."""
    slope = format_number_as_ds(value_map.slope)
    steps = value_map.intercept / value_map.slope
    if steps != round(steps) or float(slope) != value_map.slope:
        return None
    low, high = _limits(out)
    moved = np.where(padding, SIGNED_PADDING, stored + round(steps)).astype(np.int32)
    measured = moved[~padding]
    if measured.size and (measured.min() < low or measured.max() > high):
        return None
    return StoredPlane(out.pack(moved)[..., None], slope)


def _limits(out: PixelLayout) -> tuple[int, int]:
    low, _ = out.limits
    return max(low, -_PET_TOP), _PET_TOP


def _merge(keep: BoolArray, stored: StoredArray, fresh: StoredArray) -> StoredArray:
    return np.where(keep, stored, fresh).astype(np.int32)


def _enlarge(words: WordArray, out: PixelLayout) -> WordArray:
    """Repeat each word until the plane has the size of the output."""
    scale = out.rows // words.shape[0]
    return words if scale == 1 else words.repeat(scale, axis=0).repeat(scale, axis=1)


def follow_slopes(dataset: Dataset, old: list[ValueMap], slopes: list[str | None]) -> None:
    """Rewrite the real-world value maps of planes that have a new rescale slope and intercept 0.

    Args:
        dataset: header of the derived image; changed.
        old: the maps that the source's frames have.
        slopes: new slopes, None if a frame keeps its own.
    """
    groups = items(dataset, "PerFrameFunctionalGroupsSequence") or [dataset]
    for frame, group in enumerate(groups):
        found = items(group, _KEYWORD) or functional_items(dataset, frame, _KEYWORD)
        if found:
            signed = bool(integer(dataset, "PixelRepresentation"))
            mapped = [_follow(item, old[frame], slopes[frame], signed) for item in found]
            kept = [item for item in mapped if item is not None]
            group.RealWorldValueMappingSequence = Sequence(kept)
    for shared in items(dataset, "SharedFunctionalGroupsSequence"):
        if _KEYWORD in shared:
            delattr(shared, _KEYWORD)


def _follow(item: Dataset, old: ValueMap, slope: str | None, signed: bool) -> Dataset | None:
    """Return the map for the new slope; None for a table, which cannot be adapted."""
    if slope is None:
        return copy.deepcopy(item)
    factor, offset = number(item, "RealWorldValueSlope"), number(item, "RealWorldValueIntercept")
    if factor is None or offset is None:
        return None
    followed = copy.deepcopy(item)
    followed.RealWorldValueSlope = factor * float(slope) / old.slope
    followed.RealWorldValueIntercept = offset - factor * old.intercept / old.slope
    first, last = "RealWorldValueFirstValueMapped", "RealWorldValueLastValueMapped"
    for keyword, value in ((first, -32767 if signed else 0), (last, 32767)):
        if keyword in followed:
            delattr(followed, keyword)
            followed.add_new(keyword, "SS" if signed else "US", value)
    return followed
