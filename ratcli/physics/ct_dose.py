"""How a CT scan is degraded, and the family of doses, scanners and kernels to draw from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ratcli.physics.kernels import MEDIUM_SMOOTH, Kernel


@dataclass(frozen=True)
class CtDose:
    """How a scan is degraded.

    Attributes:
        fraction: dose d as a fraction of the full one.
        photons: I0, photons of a detector reading without patient at full dose; readings as
            `ct_acquisition` has them (0.7 mm at the centre, 1152 views a turn).
        electronic: standard deviation of the electronic noise, in photons.
        bowtie: k in exp(-k u^2), u = 1 at 250 mm from the central ray: photons lost to the filter.
        modulation: exponent of the tube current over a view's attenuation; 0 constant, 0.5 ideal.
        kernel: reconstruction kernel.
        hardening: beta of the water correction p = q + beta q^2.
        readings: detector rows averaged into the slice; its thickness over that of a row.
        original: dose at which the input was scanned; None for an input without noise.
        noise_hu: if given, `photons` is set for each plane so that the noise in soft tissue has
            this standard deviation.
    """

    fraction: float = 0.25
    photons: float = 2e5
    electronic: float = 5.0
    bowtie: float = 0.7
    modulation: float = 0.0
    kernel: Kernel = field(default=MEDIUM_SMOOTH)
    hardening: float = 0.0
    readings: float = 1.0
    original: float | None = None
    noise_hu: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"dose fraction must be in (0, 1], not {self.fraction}")
        if self.original is not None and self.original < self.fraction:
            raise ValueError(f"the input's dose {self.original} is below {self.fraction}")


def sample_dose(
    rng: np.random.Generator,
    noise_hu: tuple[float, float] = (12.0, 110.0),
    original: float | None = None,
) -> CtDose:
    """Draw a dose, a scanner and a kernel from the family that networks are trained on.

    Args:
        rng: source of randomness.
        noise_hu: range of the standard deviation in soft tissue, log-uniform.
        original: as in `CtDose`.
    """
    electronic = float(rng.uniform(2, 12))
    return CtDose(
        fraction=float(np.exp(rng.uniform(np.log(0.05), np.log(0.5)))),
        electronic=electronic,
        bowtie=float(rng.uniform(0, 1.5)),
        modulation=_sample_modulation(rng),
        kernel=sample_kernel(rng),
        hardening=float(rng.uniform(0, 0.02)),
        readings=float(np.exp(rng.uniform(0, np.log(8)))),
        original=original,
        noise_hu=float(np.exp(rng.uniform(*np.log(noise_hu)))),
    )


def _sample_modulation(rng: np.random.Generator) -> float:
    """Draw the exponent of the tube current: most scanners of the last twenty years modulate it."""
    return float(rng.uniform(0.3, 0.8)) if rng.random() < 0.85 else 0.0


def sample_kernel(rng: np.random.Generator) -> Kernel:
    """Draw a kernel: mostly body kernels, from smooth to sharp, some lung and bone ones."""
    name = str(
        rng.choice(["gaussian", "hann", "cosine", "ramp", "edge"], p=[0.4, 0.3, 0.1, 0.1, 0.1])
    )
    low, high = {
        "gaussian": (0.22, 0.42),
        "hann": (0.5, 1.1),
        "cosine": (0.45, 0.9),
        "ramp": (0.4, 0.75),
        "edge": (0.7, 1.2),
    }[name]
    return Kernel(name, float(rng.uniform(low, high)))
