"""Simulates what a PET scanner counts of a plane, and reconstructs it by OSEM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ratcli.physics.blur import gaussian_blur
from ratcli.physics.pet_counts import PetCounts
from ratcli.physics.pet_system import System, system

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
