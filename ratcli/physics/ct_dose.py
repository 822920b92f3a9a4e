"""How a CT scan is degraded: doses, scanners and reconstruction kernels, and families of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from ratcli.physics.draws import log_uniform


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel.

    Attributes:
        name: `gaussian`, `hann`, `cosine`, `ramp` or `edge`.
        cutoff_per_mm: standard deviation of the Gaussian; where the others reach zero.
    """

    name: str
    cutoff_per_mm: float

    def __post_init__(self) -> None:
        if self.name not in _SHAPES:
            raise ValueError(f"no kernel {self.name!r}; there are {', '.join(_SHAPES)}")
        if not self.cutoff_per_mm > 0:
            raise ValueError(f"cutoff must be positive, not {self.cutoff_per_mm}")

    def response(self, frequency_per_mm: Tensor) -> Tensor:
        """Return the gain at frequencies in 1/mm; 1 at zero."""
        return _SHAPES[self.name](frequency_per_mm / self.cutoff_per_mm)

    def noise_gain(self, limit_per_mm: float) -> float:
        """Return the integral of (f A(f))^2 over -limit to limit, in 1/mm^3: noise power passed."""
        f = torch.linspace(0, limit_per_mm, 2049, dtype=torch.float64)
        power = (f * self.response(f)).square()
        return float(2 * torch.trapezoid(power, f))


def _gaussian(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x.square())


def _hann(x: Tensor) -> Tensor:
    return torch.where(x < 1, 0.5 + 0.5 * torch.cos(math.pi * x), torch.zeros_like(x))


def _cosine(x: Tensor) -> Tensor:
    return torch.where(x < 1, torch.cos(0.5 * math.pi * x), torch.zeros_like(x))


def _ramp(x: Tensor) -> Tensor:
    """Flat, with the last tenth rolled off: a hard edge would ring."""
    return 0.5 + 0.5 * torch.cos(math.pi * ((x - 0.9) / 0.1).clamp(0, 1))


def _edge(x: Tensor) -> Tensor:
    """A lung or bone kernel: middle frequencies raised by up to half."""
    return _hann(x) * (1 + 3 * x.square())


_SHAPES: MappingProxyType[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"gaussian": _gaussian, "hann": _hann, "cosine": _cosine, "ramp": _ramp, "edge": _edge}
)

MEDIUM_SMOOTH = Kernel("gaussian", 0.31)
"""Noise like that of a medium smooth body kernel (B30): peak 0.22/mm, mean 0.275/mm."""


@dataclass(frozen=True)
class CtDose:
    """How a scan is degraded.

    Attributes:
        fraction: dose d as a fraction of the full one.
        photons: I0, photons of a detector reading without patient at full dose; readings as
            those of `ct` are (0.7 mm at the centre, 1152 views a turn).
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
    kernel: Kernel = MEDIUM_SMOOTH
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
        fraction=log_uniform(rng, 0.05, 0.5),
        electronic=electronic,
        bowtie=float(rng.uniform(0, 1.5)),
        modulation=_sample_modulation(rng),
        kernel=sample_kernel(rng),
        hardening=float(rng.uniform(0, 0.02)),
        readings=log_uniform(rng, 1, 8),
        original=original,
        noise_hu=log_uniform(rng, *noise_hu),
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
