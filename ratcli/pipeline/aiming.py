"""Chooses the strength at which a CT scan has a given noise: one strength for the whole scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import Self

from ratcli.errors import MeasurementError, UsageError
from ratcli.physics.local_noise import typical_noise
from ratcli.pipeline.restore import Outputs, RegionsOf, restore_scan
from ratcli.pipeline.settings import RestoreSettings
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo, ScanReader

if TYPE_CHECKING:
    from ratcli.pipeline.model import Model

MOST_PLANES = 5
"""Planes in which the noise is measured, evenly spread over the scan."""

_TISSUE_HU = (-160.0, 240.0)


@dataclass(frozen=True)
class ChosenStrength:
    """A strength that was chosen for a scan, and what was measured.

    Attributes:
        strength: share of the restoration that is applied.
        input_noise_hu: noise of the scan, a median over planes.
        noise_hu: the same after restoring with this strength.
    """

    strength: float
    input_noise_hu: float
    noise_hu: float


def sample_planes(info: ScanInfo, most: int = MOST_PLANES) -> list[int]:
    """Return planes that are evenly spread; the first and last ones are often unlike the rest."""
    count = min(most, info.planes)
    return [(2 * k + 1) * info.planes // (2 * count) for k in range(count)]


def check_target(settings: RestoreSettings) -> None:
    """Refuse a target of noise for scans other than CT.

    Raises:
        UsageError: there is a target, and the task is not for CT.
    """
    if settings.target is not None and settings.task.units[0] != "HU":
        raise UsageError(
            f"a noise can be chosen for CT, not for {settings.task.name}",
            hint="In other scans the noise depends on the place. Give --strength.",
        )


def aimed(
    model: Model, reader: ScanReader, regions: RegionsOf | None = None
) -> tuple[Model, ChosenStrength | None]:
    """Return a model with the strength that its settings want for a scan.

    Args:
        model: the loaded networks.
        reader: the scan.
        regions: gives the regions of a plane; None for the partitioner's.

    Returns:
        The model, and what was measured; the same model and None if no noise is wanted.

    Raises:
        MeasurementError: no noise can be measured, or no strength gives the noise.
    """
    target = model.settings.target
    if target is None:
        return model, None
    planes = sample_planes(reader.info)
    full = model.with_strength(1.0)
    kept = _KeptPlanes(reader.info)
    restore_scan(reader, Outputs(kept), full, regions=regions, planes=planes)
    pairs = [(reader.read(at)[0], kept.planes[at], ~reader.padding(at)) for at in planes]
    before, after = (_noise(pairs, strength) for strength in (0.0, 1.0))
    wanted = target.noise_of(before)
    if not after <= wanted <= before:
        raise MeasurementError(
            f"no strength gives {wanted:.3g} HU: the scan has {before:.3g} HU of noise, and "
            f"{after:.3g} HU if it is restored in full",
            hint="Choose a noise between these, or give --strength.",
        )
    from scipy.optimize import brentq  # 24 MB that most runs never need

    strength = round(float(brentq(lambda s: _noise(pairs, s) - wanted, 0.0, 1.0, xtol=1e-3)), 3)
    chosen = ChosenStrength(strength, before, _noise(pairs, strength))
    return model.with_strength(strength), chosen


def _noise(pairs: Sequence[tuple[FloatArray, FloatArray, BoolArray]], strength: float) -> float:
    """Return the median noise of planes that are restored with a strength.

    Args:
        pairs: each plane `(H, W)` in HU, the same as restored in full, and where it is measured.
        strength: share of the restoration.

    Raises:
        MeasurementError: no plane shows noise in soft tissue.
    """
    found = []
    for plane, restored, measured in pairs:
        blend = np.where(measured, plane + np.float32(strength) * (restored - plane), -1000.0)
        try:
            found.append(typical_noise(blend, _TISSUE_HU, measured))
        except MeasurementError:
            continue
    if not found:
        raise MeasurementError(
            "no plane shows noise in soft tissue, from which the strength could be chosen",
            hint="Give --strength.",
        )
    return float(np.median(found))


class _KeptPlanes:
    """A writer that keeps gray planes in memory; see `ScanWriter`."""

    def __init__(self, info: ScanInfo) -> None:
        self._shape = (info.height, info.width)
        self.planes: dict[int, FloatArray] = {}

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        kept = self.planes.setdefault(plane, np.zeros(self._shape, np.float32))
        kept[(slice(None),) * 2 if box is None else box.slices] = values[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None
