"""Low-dose CT: noise of fewer photons, made in the projections and reconstructed.

For the line integral p of a ray, photons I0, dose fraction d, bowtie b and tube current m:

    y  = Poisson(I0 d b m exp(-q)) + normal(0, s_e^2),    p = q + beta q^2   (beam hardening)
    q' = ln(I0 d b m / max(y, 1))

The noise (1 + 2 beta q)(q' - q) is reconstructed with the scan's kernel and added to the image, so
anatomy keeps its sharpness. Its mean is subtracted, as scanners correct for it. An input that is a
scan of dose 1 already has noise, so only the missing variance is added.

Sources: Zeng et al., IEEE Trans. Nucl. Sci. 62(5):2226, 2015; Yu et al., J. Comput. Assist. Tomogr.
36(4):477, 2012 (bowtie, tube current, electronic noise, adding to a scan).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ratcli.physics.ct_dose import CtDose, Kernel
from ratcli.physics.gridding import PITCH_PX, RadialGrid, radial_grid
from ratcli.physics.log_counts import FLOOR, log_moments
from ratcli.physics.projector import Geometry, forward_project, ramp

PADDING_BELOW_HU = -1500.0
"""Lower values mark pixels outside the reconstructed field."""

WATER_PER_MM = 0.0192
"""Linear attenuation of water near 70 keV."""

VIEWS = 1152
"""Views in a turn of the simulated scanner."""

PITCH_MM = 0.7046
"""Distance of its readings at the centre of rotation, as of a common 64-row scanner."""

_BOWTIE_MM = 250.0
_COARSE_PX = 128
_SOFT_TISSUE_HU = (-160.0, 240.0)


def low_dose_noise(
    hu: Tensor, spacing_mm: float, dose: CtDose, generator: torch.Generator | None = None
) -> Tensor:
    """Simulate the noise that fewer photons add to a slice.

    Args:
        hu: float `(B, H, W)` or `(H, W)` in HU.
        spacing_mm: pixel pitch.
        dose: how to degrade.
        generator: source of randomness, on the device of `hu`. Planes draw one after another, so
            that a batch gives the same noise as single planes.

    Returns:
        Noise in HU, of the shape of `hu`; zero in padding (below -1500 HU).
    """
    planes = hu if hu.ndim == 3 else hu[None]
    square, top, left = _pad_square(planes)
    grid = radial_grid(square.shape[-1], str(hu.device))
    scan = CtAcquisition.of(square, spacing_mm, grid, dose)
    noise = torch.stack([scan.noise(index, generator) for index in range(len(square))])
    image = grid.reconstruct(noise, _filter(grid, spacing_mm, dose.kernel))
    image = image * (1000 / WATER_PER_MM)
    image = image[:, top : top + planes.shape[1], left : left + planes.shape[2]]
    return image.masked_fill(planes < PADDING_BELOW_HU, 0.0).view_as(hu)


def calibrate_photons(hu: Tensor, spacing_mm: float, dose: CtDose, noise_hu: float) -> CtDose:
    """Set the photons so that noise in soft tissue has a standard deviation.

    Args:
        hu: one slice `(H, W)`.
        spacing_mm: pixel pitch.
        dose: how to degrade; its `photons` is replaced.
        noise_hu: wanted standard deviation over pixels of -160 to 240 HU.

    Returns:
        The dose with `photons` set and `noise_hu` None.
    """
    square, _, _ = _pad_square(hu[None])
    grid = radial_grid(square.shape[-1], str(hu.device))
    asked = replace(dose, noise_hu=noise_hu)
    photons = float(CtAcquisition.of(square, spacing_mm, grid, asked).photons[0])
    return replace(dose, photons=photons, noise_hu=None)


def blur_with_kernel(hu: Tensor, spacing_mm: float, kernel: Kernel) -> Tensor:
    """Return noise-free planes as a kernel would show them, `(..., H, W)` in HU."""
    height, width = hu.shape[-2:]
    fy = torch.fft.fftfreq(height, spacing_mm, device=hu.device)[:, None]
    fx = torch.fft.rfftfreq(width, spacing_mm, device=hu.device)[None, :]
    gain = kernel.response(torch.hypot(fy.expand(-1, fx.shape[1]), fx.expand(height, -1)))
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(hu) * gain, s=(height, width))
    return blurred


def _pad_square(planes: Tensor) -> tuple[Tensor, int, int]:
    """Return planes padded with air to squares, and where they stand in them."""
    height, width = planes.shape[1:]
    size = max(height, width)
    top, left = (size - height) // 2, (size - width) // 2
    edges = (left, size - width - left, top, size - height - top)
    return F.pad(planes, edges, value=-1000.0), top, left


def _filter(grid: RadialGrid, spacing_mm: float, kernel: Kernel) -> Tensor:
    rays = Geometry(grid.views, grid.bins, PITCH_PX * spacing_mm)
    gain = ramp(rays, grid.length, grid.phase.device)
    return gain * kernel.response(grid.frequencies() / spacing_mm)


def hu_to_mu(hu: Tensor) -> Tensor:
    """Return linear attenuation per mm; nothing attenuates less than vacuum."""
    return ((hu + 1000) * (WATER_PER_MM / 1000)).clamp_min(0)


def mu_to_hu(mu: Tensor) -> Tensor:
    """Return Hounsfield units of linear attenuation per mm."""
    return mu * (1000 / WATER_PER_MM) - 1000


@dataclass(frozen=True)
class CtAcquisition:
    """Expected readings of a batch on a grid's rays.

    Attributes:
        dose: how to degrade.
        raw: attenuation q before the water correction, `(B, views, bins)`.
        flux: photons without patient over I0, `(B, views, bins)`.
        photons: I0 of each plane, `(B,)`.
        merged: number of readings of the scanner that one ray of the grid represents.
    """

    dose: CtDose
    raw: Tensor
    flux: Tensor
    photons: Tensor
    merged: float

    @classmethod
    def of(cls, hu: Tensor, spacing_mm: float, grid: RadialGrid, dose: CtDose) -> CtAcquisition:
        """Project square planes on a coarse grid, since readings vary slowly."""
        coarse, pitch_mm, geometry = _coarse(hu, spacing_mm, grid)
        raw = _soften(forward_project(coarse, pitch_mm, geometry), dose.hardening)
        flux = _flux(raw, geometry.bin_positions(hu.device), dose)
        merged = VIEWS / grid.views * PITCH_PX * spacing_mm / PITCH_MM
        photons = torch.full((len(hu),), dose.photons, device=hu.device)
        if dose.noise_hu is not None:
            tissue = _tissue_weights(coarse, pitch_mm, geometry)
            limit = 0.5 / (PITCH_PX * spacing_mm)
            gain = (
                (1000 / WATER_PER_MM) ** 2 * (math.pi / grid.views) * PITCH_PX * spacing_mm
                * dose.kernel.noise_gain(limit) * math.pi
            )  # fmt: skip
            trial = cls(dose, raw, flux, photons, merged)
            photons = _solve_photons(trial, tissue, dose.noise_hu**2 / gain)
        fine = [_refine(values, grid) for values in (raw, flux.expand_as(raw))]
        return cls(dose, fine[0], fine[1], photons, merged)

    def expected(self, photons: Tensor, fraction: float) -> Tensor:
        """Return expected counts at a dose."""
        scale = (photons * (fraction * self.merged)).view(-1, 1, 1)
        return scale * self.flux * torch.exp(-self.raw)

    def variance(self, photons: Tensor) -> Tensor:
        """Return the variance of the noise in corrected line integrals."""
        dose = self.dose
        _, variance = log_moments(self.expected(photons, dose.fraction), self._electronic)
        if dose.original is not None:
            at_original = self.expected(photons, dose.original)
            variance = (variance - log_moments(at_original, self._electronic)[1]).clamp_min(0)
        return variance * (1 + 2 * dose.hardening * self.raw).square() / dose.readings

    @property
    def _electronic(self) -> float:
        return self.dose.electronic * math.sqrt(self.merged)

    def noise(self, index: int, generator: torch.Generator | None) -> Tensor:
        """Draw the noise of one plane's corrected line integrals, `(views, bins)`."""
        dose = self.dose
        one = replace(self, raw=self.raw[index : index + 1], flux=self.flux[index : index + 1])
        photons = self.photons[index : index + 1]
        counts = one.expected(photons, dose.fraction)
        reading = torch.poisson(counts, generator=generator)
        reading += self._electronic * torch.randn(
            counts.shape, generator=generator, device=counts.device
        )
        mean, variance = log_moments(counts, self._electronic)
        error = counts.clamp_min(1e-6).log() - reading.clamp_min(FLOOR).log() - mean
        error = error * (1 + 2 * dose.hardening * one.raw) / math.sqrt(dose.readings)
        if dose.original is not None:
            at_original = log_moments(one.expected(photons, dose.original), self._electronic)[1]
            error = error * (1 - at_original / variance).clamp_min(0).sqrt()
        return error[0]


def _coarse(hu: Tensor, spacing_mm: float, grid: RadialGrid) -> tuple[Tensor, float, Geometry]:
    """Return attenuation of pooled planes, their pitch, and a coarse geometry of the same span."""
    factor = max(1, round(grid.size / _COARSE_PX))
    excess = -grid.size % factor
    mu = F.pad(hu_to_mu(hu), (excess // 2, excess - excess // 2) * 2)
    coarse = F.avg_pool2d(mu[None], factor)[0] if factor > 1 else mu
    span_mm = (grid.bins - 1) * PITCH_PX * spacing_mm
    bins = 2 * math.ceil(grid.bins / factor / 2) + 1
    views = 4 * math.ceil(grid.views / 16)
    return coarse, spacing_mm * factor, Geometry(views, bins, span_mm / (bins - 1))


def _soften(p: Tensor, hardening: float) -> Tensor:
    """Return q of p = q + beta q^2."""
    if hardening == 0:
        return p
    return ((1 + 4 * hardening * p).sqrt() - 1) / (2 * hardening)


def _flux(raw: Tensor, positions_mm: Tensor, dose: CtDose) -> Tensor:
    """Return photons without patient over I0: bowtie times tube current, `(B, views, bins)`."""
    u = (positions_mm / _BOWTIE_MM).abs().clamp_max(1.2)
    worst = raw.amax(-1, keepdim=True)
    current = torch.exp(dose.modulation * worst)
    current = current / current.mean(1, keepdim=True)
    return torch.exp(-dose.bowtie * u.square()) * current


def _tissue_weights(coarse: Tensor, pitch_mm: float, geometry: Geometry) -> Tensor:
    """Return the weight of each ray's variance in that of soft tissue; sums to 1 for each plane."""
    hu = mu_to_hu(coarse)
    low, high = _SOFT_TISSUE_HU
    tissue = ((hu > low) & (hu < high)).float()
    # A plane without soft tissue: use everything that attenuates, or else the whole plane.
    for threshold in (-900.0, -math.inf):
        empty = tissue.sum((1, 2)) < 16
        tissue[empty] = (hu[empty] > threshold).float()
    weights = forward_project(tissue, pitch_mm, geometry)
    return weights / weights.sum((1, 2), keepdim=True)


def _solve_photons(scan: CtAcquisition, weights: Tensor, variance: float) -> Tensor:
    """Return the I0 that gives each plane the wanted weighted mean variance, by bisection."""
    low = torch.full_like(scan.photons, math.log(1e1))
    high = torch.full_like(scan.photons, math.log(1e9))
    for _ in range(32):
        middle = (low + high) / 2
        reached = (scan.variance(middle.exp()) * weights).sum((1, 2))
        low = torch.where(reached > variance, middle, low)
        high = torch.where(reached > variance, high, middle)
    return ((low + high) / 2).exp()


def _refine(values: Tensor, grid: RadialGrid) -> Tensor:
    """Interpolate coarse projections to the grid's rays; view pi is view 0 mirrored."""
    wrapped = torch.cat([values, values[:, :1].flip(-1)], 1)[:, None]
    fine = F.interpolate(wrapped, (grid.views + 1, grid.bins), mode="bilinear", align_corners=True)
    return fine[:, 0, :-1]
