"""The physics of each task: degrades a plane as a scanner would."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Degradation:
    """How a scan is degraded; a task ignores the values that it does not need.

    Attributes:
        dose: dose fraction, or count fraction for PET.
        seed: of the noise; each plane has its own.
        noise_hu: standard deviation of the noise that a CT scan has already; None to measure it.
        kernel: reconstruction kernel of a CT scan, a key of `scans.KERNELS`.
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
