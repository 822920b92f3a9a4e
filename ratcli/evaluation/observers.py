"""Model observers: how well a small, faint signal at a known place can be told from noise.

The channelised Hotelling observer sees an image through a few radial channels, and weighs them as
is best for the covariance of the noise. Its detectability d' is the distance of the two
distributions of its decision variable in standard deviations. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import eval_laguerre
from scipy.stats import norm

from ratcli.errors import MeasurementError

RealArray = npt.NDArray[np.float64]

SURE_ENOUGH = 0.1
"""Half of an interval over d' at which repeats are enough."""

_DRAWS = 1000
_LG_CHANNELS = 6
# Dense differences of Gaussians: Abbey and Barrett, J. Opt. Soc. Am. A 18(3):473, 2001, table 1.
_DOG_CHANNELS, _DOG_FIRST, _DOG_STEP, _DOG_RATIO = 10, 0.005, 1.4, 1.67


@dataclass(frozen=True)
class Detectability:
    """How well an observer detects a signal.

    Attributes:
        d_prime: detectability index d'; 0 where chance hides the signal.
        low: lower end of its 95 % interval; nan if unknown.
        high: upper end.
        repeats: pairs of images with and without the signal, at all places together.
    """

    d_prime: float
    low: float
    high: float
    repeats: int

    @property
    def auc(self) -> float:
        """Area under the ROC curve for normal decision variables: 0.5 is chance, 1 is certain."""
        return _auc(self.d_prime)

    @property
    def auc_low(self) -> float:
        """Lower end of the 95 % interval of the area."""
        return _auc(self.low)

    @property
    def auc_high(self) -> float:
        """Upper end of it."""
        return _auc(self.high)

    @property
    def repeats_needed(self) -> float:
        """About how many repeats give an interval of ± 10 % of d'; nan if d' is 0 or unknown."""
        half = (self.high - self.low) / 2
        if not self.d_prime > 0 or not math.isfinite(half):
            return math.nan
        return float(round(self.repeats * (half / (SURE_ENOUGH * self.d_prime)) ** 2))

    def with_internal_noise(self, share: float) -> Detectability:
        """Return what an observer detects whose own noise adds a share of the image's variance."""
        damping = 1 / math.sqrt(1 + share)
        return Detectability(
            self.d_prime * damping, self.low * damping, self.high * damping, self.repeats
        )


def laguerre_gauss(
    side: int, width_px: float, count: int = _LG_CHANNELS, centre: tuple[float, float] = (0.0, 0.0)
) -> RealArray:
    """Return Laguerre-Gauss channels `(K, side, side)`; nearly the ideal ones for round signals.

    Args:
        side: of the image.
        width_px: a in exp(-pi r² / a²); the diameter of the signal suits.
        count: number of channels K.
        centre: row and column of the signal, from the middle of the image.

    Source: Gallas and Barrett, J. Opt. Soc. Am. A 20(9):1725, 2003.
    """
    scaled = 2 * math.pi * (_radius(side, centre) / width_px) ** 2
    window = math.sqrt(2) / width_px * np.exp(-scaled / 2)
    return np.stack([window * eval_laguerre(order, scaled) for order in range(count)])


def difference_of_gaussians(side: int, centre: tuple[float, float] = (0.0, 0.0)) -> RealArray:
    """Return ten dense difference-of-Gaussian channels `(10, side, side)`, as of human vision.

    Args:
        side: of the image.
        centre: row and column of the signal, from the middle of the image.

    Source: Abbey and Barrett, J. Opt. Soc. Am. A 18(3):473, 2001; frequencies in 1/pixel.
    """
    squared = 2 * (math.pi * _radius(side, centre)) ** 2

    def gaussian(width: float) -> RealArray:
        height = 2 * math.pi * width**2
        return height * np.exp(-squared * width**2)

    widths = _DOG_FIRST * _DOG_STEP ** np.arange(1, _DOG_CHANNELS + 1)
    return np.stack([gaussian(_DOG_RATIO * width) - gaussian(width) for width in widths])


def channel_outputs(images: npt.NDArray[np.floating], channels: RealArray) -> RealArray:
    """Return `(..., K)` of images `(..., side, side)` and channels `(K, side, side)`."""
    outputs: RealArray = np.einsum("...ij,kij->...k", images.astype(np.float64), channels)
    return outputs


def hotelling(
    present: RealArray, absent: RealArray, places: Sequence[int] | None = None, seed: int = 0
) -> Detectability:
    """Return the detectability of the channelised Hotelling observer.

    d'² is Hotelling's, with the bias removed that few repeats give it. The covariance is that of
    all places and of both kinds of images, each about the mean of its place, so that anatomy, or
    other signals, at those places do not count as noise. The interval is a basic bootstrap of d'²
    over repeats.

    Args:
        present: outputs of K channels at Q places in N repeats with the signal, `(N, Q, K)`.
        absent: in M repeats without it, `(M, Q, K)`, whose noise is independent.
        places: those at which the signal is; None for all.
        seed: of the bootstrap.

    Raises:
        MeasurementError: too few repeats for so many channels, or images without noise.

    Source: Barrett and Myers, Foundations of Image Science, 2004, section 13.2.12; the bias and the
    exact distribution: Wunderlich et al., IEEE Trans. Med. Imaging 34(2):453, 2015.
    """
    where = list(range(present.shape[1])) if places is None else list(places)
    repeats, channels = min(len(present), len(absent)), present.shape[2]
    freedom = _freedom(present, absent)
    # Bootstrap samples have about 0.63 as many different repeats.
    if repeats < 4 or 0.63 * freedom < 2 * channels:
        raise MeasurementError(
            f"{repeats} repeats at {present.shape[1]} places are too few to know the covariance of "
            f"{channels} channels",
            hint="Give more images with and without the signal, or use fewer channels.",
        )
    raw, unbiased = _squared(present, absent, where)
    # What resampling varies about: d'² of the repeats taken as the whole truth.
    empirical = raw * present.shape[1] * (len(present) + len(absent)) / freedom
    rng = np.random.default_rng(seed)
    draws = [
        _squared(present[_drawn(rng, present)], absent[_drawn(rng, absent)], where)[1]
        for _ in range(_DRAWS)
    ]
    low, high = unbiased + empirical - np.quantile(draws, (0.975, 0.025))
    d_prime, low, high = (math.sqrt(max(value, 0.0)) for value in (unbiased, low, high))
    return Detectability(d_prime, low, high, repeats * len(where))


def _freedom(present: RealArray, absent: RealArray) -> int:
    """Return the degrees of freedom of the covariance."""
    places: int = present.shape[1]
    return places * (len(present) + len(absent) - 2)


def _squared(present: RealArray, absent: RealArray, where: list[int]) -> tuple[float, float]:
    """Return d'² as the samples have it, and without its bias."""
    signal = present[:, where].mean((0, 1)) - absent[:, where].mean((0, 1))
    apart = [outputs - outputs.mean(0) for outputs in (present, absent)]
    noise = np.concatenate([each.reshape(-1, len(signal)) for each in apart])
    freedom = _freedom(present, absent)
    try:
        weights = np.linalg.solve(noise.T @ noise / freedom, signal)
    except np.linalg.LinAlgError as error:
        raise MeasurementError("the images show no noise, so that any signal is seen") from error
    raw, channels = float(signal @ weights), len(signal)
    bias = channels * (1 / len(present) + 1 / len(absent)) / len(where)
    return raw, (freedom - channels - 1) / freedom * raw - bias


def _drawn(rng: np.random.Generator, outputs: RealArray) -> npt.NDArray[np.int64]:
    return rng.integers(len(outputs), size=len(outputs))


def _radius(side: int, centre: tuple[float, float]) -> RealArray:
    """Return `(side, side)`: distance in pixels from a place near the middle."""
    axis = np.arange(side) - (side - 1) / 2
    distance: RealArray = np.hypot(axis[:, None] - centre[0], axis[None, :] - centre[1])
    return distance


def _auc(d_prime: float) -> float:
    return float(norm.cdf(d_prime / math.sqrt(2)))
