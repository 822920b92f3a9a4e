"""Which value each gray level of a picture means, the same for all planes; and the maps to show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.results import MIP, Sample

RealArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """Which value each gray level from 0 to 255 means.

    Attributes:
        values: `(256,)` the value of each level, rising.
        unit: of them.
    """

    values: RealArray
    unit: str

    def encode(self, plane: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        """Return the nearest level of each pixel."""
        middles = (self.values[1:] + self.values[:-1]) / 2.0
        return np.searchsorted(middles, plane).astype(np.uint8)


def maps_of(sample: Sample) -> list[tuple[str, str, RealArray]]:
    """Return name, kind and values of the maps that a sample has."""
    maps: list[tuple[str, str, RealArray]] = []
    images = sample.images
    for name, other in (("residual", INPUT), ("error", REFERENCE)):
        if other in images and images[RESTORED].shape[0] == 1 and sample.view != MIP:
            sign = 1.0 if name == "residual" else -1.0
            difference = sign * (images[other][0].astype(np.float64) - images[RESTORED][0])
            maps.append((name, "signed", np.where(sample.mask, difference, 0.0)))
    for name, plane in (
        ("noise map", sample.noise_map),
        ("suspicion", sample.z_map),
        ("uncertainty", sample.uncertainty),
    ):
        if plane is not None:
            maps.append((name, "heat", plane.astype(np.float64)))
    return maps


def scales_of(samples: Sequence[Sample], unit: str) -> dict[str, Scale]:
    """Return the scale of the images, and one for each map, the same for all planes."""
    scales = {"image": _image_scale(samples, unit)}
    spans: dict[str, tuple[str, float]] = {}
    for sample in samples:
        for name, kind, plane in maps_of(sample):
            high = float(np.percentile(np.abs(plane[sample.mask]), 99.0))
            spans[name] = (kind, max(high, spans.get(name, (kind, 1e-6))[1]))
    for name, (kind, high) in spans.items():
        top = 8.0 if name == "suspicion" else _round_up(1.3 * high)
        low = -top if kind == "signed" else 0.0
        own = "SD" if name == "suspicion" else unit
        scales[name] = Scale(np.linspace(low, top, 256), own)
    return scales


def _image_scale(samples: Sequence[Sample], unit: str) -> Scale:
    """Return levels that are 2 to 4 HU apart in soft tissue, or as fine near 0 in uptake."""
    if unit == "HU":
        low, high = (math.asinh((value - 40.0) / 150.0) for value in (-1100.0, 3100.0))
        return Scale(40.0 + 150.0 * np.sinh(np.linspace(low, high, 256)), unit)
    if unit == "RGB":
        return Scale(np.linspace(0.0, 1.0, 256), unit)
    values = [
        np.percentile(image[:, sample.mask], (0.0, 99.99))
        for sample in samples
        for image in sample.images.values()
    ]
    least = min((float(pair[0]) for pair in values), default=0.0)
    most = max((float(pair[1]) for pair in values), default=1.0)
    share = np.linspace(0.0, 1.0, 256)
    return Scale(least + max(most - least, 1e-6) * share**1.6, unit)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= value)
