"""Simulates what a PET scanner counts of a plane, and reconstructs it by OSEM."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ratcli.physics.blur import gaussian_blur
from ratcli.physics.draws import log_uniform

_SCATTER_MM = 60.0
_TINY = 1e-9


@dataclass(frozen=True)
class PetAcquisition:
    """Expected prompts of one plane at a reduced dose, and the model that made them.

    Attributes:
        model: system matrix.
        counts: how to degrade.
        spacing_mm: pixel pitch.
        gain: prompts for each unit of a line integral, attenuation included, `(S, R, 1)`.
        additive: expected scatter and randoms, `(S, R, 1)`.
        expected: expected prompts, `(S, R, 1)`.
    """

    model: System
    counts: PetCounts
    spacing_mm: float
    gain: Tensor
    additive: Tensor
    expected: Tensor

    @classmethod
    def of(cls, plane: Tensor, mu: Tensor, spacing_mm: float, counts: PetCounts) -> PetAcquisition:
        """Expect the prompts of a plane.

        Args:
            plane: true activity `(N, N)`, in any unit.
            mu: attenuation per mm at 511 keV, `(N, N)`.
            spacing_mm: pixel pitch.
            counts: how to degrade.
        """
        model = system(plane.shape[-1], counts.subsets, str(plane.device))
        survival = torch.exp(-model.project(mu[None]) * spacing_mm)
        blurred = gaussian_blur(plane[None], counts.psf_mm / spacing_mm)
        trues = survival * model.project(blurred)
        prompts = counts.counts * counts.fraction
        wanted = prompts * (1 - counts.randoms) * (1 - counts.scatter)
        scale = wanted / trues.sum().clamp_min(_TINY)
        trues = trues * scale
        scatter = _scatter(trues, model, spacing_mm)
        scatter = scatter * (wanted * counts.scatter / (1 - counts.scatter) / scatter.sum())
        additive = scatter + prompts * counts.randoms / trues.numel()
        return cls(model, counts, spacing_mm, survival * scale, additive, trues + additive)

    def draw(self, generator: torch.Generator | None) -> Tensor:
        """Draw prompts."""
        return torch.poisson(self.expected, generator=generator)

    def reconstruct(self, prompts: list[Tensor]) -> Tensor:
        """Reconstruct several sinograms with OSEM and filter; returns `(len, N, N)`."""
        data = torch.cat(prompts, -1)  # (S, R, B)
        blur = self.counts.psf_mm / self.spacing_mm if self.counts.recovery else 0.0
        size = self.model.size
        image = data.new_ones(data.shape[-1], size, size)
        start = self.gain.mean() * size
        image *= (data - self.additive).sum((0, 1)).clamp_min(1)[:, None, None] / (
            start * self.gain.numel()
        )
        sensitivity = [
            gaussian_blur((m @ g).mT.view(1, size, size), blur).clamp_min(1e-3 * float(start))
            for m, g in zip(self.model.adjoint, self.gain, strict=True)
        ]
        for _ in range(self.counts.iterations):
            for subset in range(self.model.subsets):
                columns = gaussian_blur(image, blur).flatten(1).mT.contiguous()
                line = self.gain[subset] * (self.model.forward[subset] @ columns)
                ratio = data[subset] / (line + self.additive[subset]).clamp_min(_TINY)
                update = self.model.adjoint[subset] @ (self.gain[subset] * ratio)
                update = gaussian_blur(update.mT.reshape(-1, size, size), blur)
                image = image * update / sensitivity[subset]
        return gaussian_blur(image, self.counts.filter_mm / self.spacing_mm)


def _scatter(trues: Tensor, model: System, spacing_mm: float) -> Tensor:
    """Return the shape of scatter: trues blurred widely over bins and views, `(S, R, 1)`."""
    per_subset = model.views // model.subsets
    views = trues.view(model.subsets, per_subset, model.bins).transpose(0, 1)
    views = views.reshape(1, model.views, model.bins)  # subset s holds views s, s + S, ...
    wide = gaussian_blur(F.pad(views, (0, 0, 20, 20), mode="circular"), _SCATTER_MM / spacing_mm)
    wide = wide[:, 20:-20].view(per_subset, model.subsets, model.bins).transpose(0, 1)
    return wide.reshape(model.subsets, -1, 1).clamp_min(_TINY)


@dataclass(frozen=True)
class System:
    """Joseph's line integrals in pixels, subset by subset.

    Attributes:
        size: rows and columns of the plane.
        views: projections over 180 degrees, a multiple of the subsets.
        bins: rays of a view, one pixel apart; they cover the plane's diagonal.
        forward: for each subset a matrix `(views / subsets * bins, N^2)`.
        adjoint: the transposed matrices.
    """

    size: int
    views: int
    bins: int
    forward: tuple[Tensor, ...]
    adjoint: tuple[Tensor, ...]

    @property
    def subsets(self) -> int:
        """Number of subsets."""
        return len(self.forward)

    def project(self, planes: Tensor) -> Tensor:
        """Return line integrals `(subsets, rays of a subset, B)` of planes `(B, N, N)`."""
        columns = planes.flatten(1).mT.contiguous()  # (N^2, B)
        return torch.stack([matrix @ columns for matrix in self.forward])


@lru_cache(maxsize=5)
def system(size: int, subsets: int = 12, device: str = "cpu") -> System:
    """Build the system of a square plane; kept for the next call. 1.4 views for each column."""
    views = subsets * math.ceil(1.4 * size / subsets)
    bins = 2 * math.ceil(size * math.sqrt(2) / 2) + 1
    forward, adjoint = [], []
    for subset in range(subsets):
        theta = torch.arange(subset, views, subsets, dtype=torch.float64) * (math.pi / views)
        ray, pixel, length = _crossings(theta, bins, size)
        shape = (len(theta) * bins, size * size)
        forward.append(_csr(ray, pixel, length, shape).to(device))
        adjoint.append(_csr(pixel, ray, length, (shape[1], shape[0])).to(device))
    return System(size, views, bins, tuple(forward), tuple(adjoint))


def _crossings(theta: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return ray, pixel and length of all crossings of rays and pixels (Joseph's method)."""
    t = (torch.arange(bins, dtype=torch.float64) - (bins - 1) / 2).repeat(len(theta))
    cos, sin = (f(theta).repeat_interleave(bins) for f in (torch.cos, torch.sin))
    steep = cos.abs() >= sin.abs()
    major, minor = torch.where(steep, cos, sin), torch.where(steep, sin, cos)
    step = torch.arange(size)
    along = (t[:, None] - (step - (size - 1) / 2) * minor[:, None]) / major[:, None]
    along += (size - 1) / 2  # (rays, steps): a column of each row, or a row of each column
    first = along.floor()
    part, steps = along - first, step.expand(len(t), -1)
    ray = torch.arange(len(t))[:, None].expand(-1, size)
    found = []
    for neighbour, share in ((first, 1 - part), (first + 1, part)):
        inside = (neighbour >= 0) & (neighbour < size) & (share > 0)
        other, at = neighbour[inside].long(), steps[inside]
        is_row = steep[:, None].expand(-1, size)[inside]
        pixel = torch.where(is_row, at * size + other, other * size + at)
        length = share[inside] / major.abs()[:, None].expand(-1, size)[inside]
        found.append((ray[inside], pixel, length))
    rays, pixels, lengths = (torch.cat(parts) for parts in zip(*found, strict=True))
    return rays, pixels, lengths


def _csr(row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    order = torch.argsort(row * shape[1] + column)
    counts = torch.bincount(row, minlength=shape[0])
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    with warnings.catch_warnings():  # torch calls CSR a beta, once a process
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
        return torch.sparse_csr_tensor(
            starts.int(), column[order].int(), value[order].float(), shape, check_invariants=False
        )


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
        counts=log_uniform(rng, 2e5, 4e6),
        fraction=float(np.exp(-rng.uniform(np.log(4), np.log(20)))),
        randoms=float(rng.uniform(0.1, 0.2)),
        scatter=float(rng.uniform(0.2, 0.35)),
        psf_mm=float(rng.uniform(3.5, 6.0)),
        recovery=bool(rng.random() < 0.5),
        iterations=int(rng.integers(2, 5)),
        filter_mm=float(rng.uniform(2.0, 6.0)),
        original=original,
    )
