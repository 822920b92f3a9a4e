"""How a PET scan is degraded, and the family of scanners and protocols to draw from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PetCounts:
    """How a PET scan is degraded.

    Attributes:
        counts: prompts of a plane of the full scan.
        fraction: share of them that is kept.
        randoms: share of randoms among the prompts.
        scatter: share of scatter among prompts without randoms.
        psf_mm: full width at half maximum of the detectors' blur.
        recovery: OSEM knows that blur (resolution recovery: less noise, in larger grains).
        iterations: of OSEM.
        subsets: of OSEM.
        filter_mm: full width at half maximum of the Gaussian after reconstruction.
        original: share of counts that the input was scanned with; None for an input without noise.
    """

    counts: float = 2e6
    fraction: float = 1 / 12
    randoms: float = 0.15
    scatter: float = 0.3
    psf_mm: float = 4.5
    recovery: bool = True
    iterations: int = 3
    subsets: int = 12
    filter_mm: float = 4.0
    original: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction of counts must be in (0, 1], not {self.fraction}")
        if self.original is not None and self.original < self.fraction:
            raise ValueError(f"the input's counts {self.original} are below {self.fraction}")


def sample_counts(rng: np.random.Generator, original: float | None = None) -> PetCounts:
    """Draw a scanner, a protocol and a reduction of counts from the training family."""
    return PetCounts(
        counts=float(np.exp(rng.uniform(np.log(2e5), np.log(4e6)))),
        fraction=float(np.exp(-rng.uniform(np.log(4), np.log(20)))),
        randoms=float(rng.uniform(0.1, 0.2)),
        scatter=float(rng.uniform(0.2, 0.35)),
        psf_mm=float(rng.uniform(3.5, 6.0)),
        recovery=bool(rng.random() < 0.5),
        iterations=int(rng.integers(2, 5)),
        filter_mm=float(rng.uniform(2.0, 6.0)),
        original=original,
    )
