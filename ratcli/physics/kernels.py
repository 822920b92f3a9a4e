"""Reconstruction kernels of CT: what multiplies the ramp, over frequencies in 1/mm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor


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
