"""Low-dose CT: noise of fewer photons, made in the projections and reconstructed.

For the line integral p of a ray, photons I0, dose fraction d, bowtie b and tube current m:

    y  = Poisson(I0 d b m exp(-q)) + normal(0, s_e^2),    p = q + beta q^2   (beam hardening)
    q' = ln(I0 d b m / max(y, 1))

The noise (1 + 2 beta q)(q' - q) is reconstructed with the scan's kernel and added to the image, so
anatomy keeps its sharpness. Its mean is taken off, as scanners correct for it. An input that is a
scan of dose 1 has noise of its own: only the missing variance is added.

Sources: Zeng et al., IEEE Trans. Nucl. Sci. 62(5):2226, 2015; Yu et al., J. Comput. Assist. Tomogr.
36(4):477, 2012 (bowtie, tube current, electronic noise, adding to a scan).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ratcli.degrade.counts import FLOOR, log_moments
from ratcli.degrade.gridding import PITCH_PX, RadialGrid, radial_grid
from ratcli.degrade.kernels import MEDIUM_SMOOTH, Kernel
from ratcli.degrade.projector import FAN, Geometry, forward_project, ramp

WATER_PER_MM = 0.0192
"""Linear attenuation of water near 70 keV."""

PADDING_BELOW_HU = -1500.0
"""Lower values mark pixels outside the reconstructed field."""

_BOWTIE_MM = 250.0
_COARSE_PX = 128
_SOFT_TISSUE_HU = (-160.0, 240.0)


@dataclass(frozen=True)
class CtDose:
    """How a scan is degraded.

    Attributes:
        fraction: dose d as a fraction of the full one.
        photons: I0, photons of a detector reading without patient at full dose; readings as
            `projector.FAN` has them (0.7 mm at the centre, 1152 views a turn).
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
        modulation=float(rng.choice([0.0, rng.uniform(0, 0.5)])),
        kernel=sample_kernel(rng),
        hardening=float(rng.uniform(0, 0.02)),
        readings=float(np.exp(rng.uniform(0, np.log(8)))),
        original=original,
        noise_hu=float(np.exp(rng.uniform(*np.log(noise_hu)))),
    )


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


def hu_to_mu(hu: Tensor) -> Tensor:
    """Return linear attenuation per mm; nothing attenuates less than vacuum."""
    return ((hu + 1000) * (WATER_PER_MM / 1000)).clamp_min(0)


def mu_to_hu(mu: Tensor) -> Tensor:
    """Return Hounsfield units of linear attenuation per mm."""
    return mu * (1000 / WATER_PER_MM) - 1000


def low_dose_noise(
    hu: Tensor, spacing_mm: float, dose: CtDose, generator: torch.Generator | None = None
) -> Tensor:
    """Simulate the noise that fewer photons add to a slice.

    Args:
        hu: float `(B, H, W)` or `(H, W)` in HU.
        spacing_mm: pixel pitch.
        dose: how to degrade.
        generator: source of randomness, on the device of `hu`. Planes draw one after another, so
            that a batch gives the noise of single planes.

    Returns:
        Noise in HU, of the shape of `hu`; zero in padding (below -1500 HU).
    """
    planes = hu if hu.ndim == 3 else hu[None]
    square, top, left = _pad_square(planes)
    grid = radial_grid(square.shape[-1], str(hu.device))
    scan = _Acquisition.of(square, spacing_mm, grid, dose)
    noise = torch.stack([scan.noise(index, generator) for index in range(len(square))])
    image = grid.reconstruct(noise, _filter(grid, spacing_mm, dose.kernel))
    image = image * (1000 / WATER_PER_MM)
    image = image[:, top : top + planes.shape[1], left : left + planes.shape[2]]
    return image.masked_fill(planes < PADDING_BELOW_HU, 0.0).view_as(hu)


def simulate_low_dose(
    hu: Tensor, spacing_mm: float, dose: CtDose, generator: torch.Generator | None = None
) -> Tensor:
    """Return the slice as it would look at a lower dose, in HU; see `low_dose_noise`."""
    return hu + low_dose_noise(hu, spacing_mm, dose, generator)


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
    photons = float(_Acquisition.of(square, spacing_mm, grid, asked).photons[0])
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


@dataclass(frozen=True)
class _Acquisition:
    """Expected readings of a batch on a grid's rays.

    Attributes:
        dose: how to degrade.
        raw: attenuation q before the water correction, `(B, views, bins)`.
        flux: photons without patient over I0, `(B, views, bins)`.
        photons: I0 of each plane, `(B,)`.
        merged: readings of the scanner that one ray of the grid stands for.
    """

    dose: CtDose
    raw: Tensor
    flux: Tensor
    photons: Tensor
    merged: float

    @classmethod
    def of(cls, hu: Tensor, spacing_mm: float, grid: RadialGrid, dose: CtDose) -> _Acquisition:
        """Project square planes coarsely: readings vary slowly beside their noise."""
        coarse, pitch_mm, geometry = _coarse(hu, spacing_mm, grid)
        raw = _soften(forward_project(coarse, pitch_mm, geometry), dose.hardening)
        flux = _flux(raw, geometry.bin_positions(hu.device), dose)
        merged = FAN.views / grid.views * PITCH_PX * spacing_mm / FAN.pitch_mm
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
    """Return how much each ray's variance counts in soft tissue's; sums to 1 for each plane."""
    hu = mu_to_hu(coarse)
    low, high = _SOFT_TISSUE_HU
    tissue = ((hu > low) & (hu < high)).float()
    # A plane without any (air alone, a bare lung): everything that attenuates, else everything.
    for threshold in (-900.0, -math.inf):
        empty = tissue.sum((1, 2)) < 16
        tissue[empty] = (hu[empty] > threshold).float()
    weights = forward_project(tissue, pitch_mm, geometry)
    return weights / weights.sum((1, 2), keepdim=True)


def _solve_photons(scan: _Acquisition, weights: Tensor, variance: float) -> Tensor:
    """Find I0 of each plane such that its weighted mean variance is the wanted one (bisection)."""
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
