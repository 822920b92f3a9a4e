"""The physics of each task: degrades a plane as a scanner would.

A task's degradation is a module with a function `degrader` and one line in `DEGRADERS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, cast

from ratcli.scan import BoolArray, FloatArray

DEGRADERS: Mapping[str, str] = MappingProxyType(
    {
        "ct-denoise": "ratcli.physics.scan_ct",
        "pet-synthesis": "ratcli.physics.scan_pet",
        "pathology-sr": "ratcli.physics.scan_slide",
    }
)
"""Name of a task, and the module that undoes what the task restores."""


@dataclass(frozen=True)
class Degradation:
    """How a scan is degraded; a task ignores the values that it does not need.

    Attributes:
        dose: dose fraction, or count fraction for PET.
        seed: of the noise; each plane has its own.
        noise_hu: standard deviation of the noise that a CT scan has already; None to measure it.
        kernel: reconstruction kernel of a CT scan, a key of `scan_ct.KERNELS`.
        modulation: exponent with which the tube current of a CT scanner follows the attenuation of
            each view: 0 constant, 0.5 to 0.7 for scanners of the last twenty years.
        counts: prompts of a mean plane of the full PET scan.
    """

    dose: float = 0.25
    seed: int = 0
    noise_hu: float | None = None
    kernel: str = "medium"
    modulation: float = 0.6
    counts: float = 2e6


class Degrader(Protocol):
    """A degradation that is ready for the planes of one scan."""

    @property
    def shrinks(self) -> int:
        """Input pixels for each output pixel and axis."""

    @property
    def facts(self) -> Mapping[str, float]:
        """What was measured or assumed; it is shown and recorded."""

    def __call__(self, values: FloatArray, padding: BoolArray, plane: int) -> FloatArray:
        """Degrade a plane.

        Args:
            values: `(C, H, W)` in the task's first unit, or one proportional to it.
            padding: `(H, W)`, true for pixels without a measurement; they do not change.
            plane: its number; seeds its noise.
        """


class _Module(Protocol):
    def degrader(
        self, degradation: Degradation, samples: Sequence[FloatArray], spacing_mm: float
    ) -> Degrader: ...


def prepare(
    task: str, degradation: Degradation, samples: Sequence[FloatArray], spacing_mm: float
) -> Degrader:
    """Prepare the degradation of a scan.

    Args:
        task: name of the task that restores such scans.
        degradation: how much.
        samples: some planes `(C, H, W)` of the scan, to measure it.
        spacing_mm: pixel pitch.

    Raises:
        KeyError: the task has no degradation.
    """
    module = cast(_Module, importlib.import_module(DEGRADERS[task]))
    return module.degrader(degradation, samples, spacing_mm)
