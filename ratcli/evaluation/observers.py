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
from scipy.special import eval_laguerre, ncfdtrinc
from scipy.stats import norm

from ratcli.errors import MeasurementError

RealArray = npt.NDArray[np.float64]

SURE_ENOUGH = 0.1
"""Half of an interval over d' at which repeats are enough."""

# scipy inverts the noncentral F distribution below 10 000.
_MOST_NONCENTRAL = 5000.0
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
    present: RealArray, absent: RealArray, places: Sequence[int] | None = None
) -> Detectability:
    """Return the detectability of the channelised Hotelling observer.

    d'² is Hotelling's, with the bias removed that few repeats give it. The covariance is that of
    all places and of both kinds of images, each about the mean of its place, so that anatomy, or
    other signals, at those places do not count as noise. The interval is that of the noncentral F
    distribution, which is exact for normal noise; a bootstrap of ten repeats is much too wide.

    Args:
        present: outputs of K channels at Q places in N repeats with the signal, `(N, Q, K)`.
        absent: in M repeats without it, `(M, Q, K)`, whose noise is independent.
        places: those at which the signal is; None for all.

    Raises:
        MeasurementError: too few repeats for so many channels, or images without noise.

    Source: Barrett and Myers, Foundations of Image Science, 2004, section 13.2.12; bias and
    interval: Wunderlich et al., IEEE Trans. Med. Imaging 34(2):453, 2015.
    """
    where = list(range(present.shape[1])) if places is None else list(places)
    channels, freedom = present.shape[2], _freedom(present, absent)
    if freedom < 2 * channels:
        raise MeasurementError(
            f"{len(present)} images with and {len(absent)} without the signal are too few to know "
            f"the covariance of {channels} channels",
            hint="Give more images, or more places.",
        )
    squared = _squared(present, absent, where)
    pairs = len(where) / (1 / len(present) + 1 / len(absent))
    d_prime = _root(_unbiased(squared, present, absent, len(where)))
    ends = _interval(squared, d_prime, pairs, channels, freedom)
    return Detectability(d_prime, *ends, min(len(present), len(absent)) * len(where))


def hotelling_squared(present: RealArray, absent: RealArray) -> float:
    """Return d'² over all places without its bias, below 0 by chance; see `hotelling`."""
    places = list(range(present.shape[1]))
    return _unbiased(_squared(present, absent, places), present, absent, len(places))


def _freedom(present: RealArray, absent: RealArray) -> int:
    """Return the degrees of freedom of the covariance."""
    return int(present.shape[1]) * (len(present) + len(absent) - 2)


def _unbiased(squared: float, present: RealArray, absent: RealArray, places: int) -> float:
    """Return d'² of the samples without the bias that few of them give it."""
    channels, freedom = present.shape[2], _freedom(present, absent)
    bias = channels * (1 / len(present) + 1 / len(absent)) / places
    return float((freedom - channels - 1) / freedom * squared - bias)


def _squared(present: RealArray, absent: RealArray, where: list[int]) -> float:
    """Return Hotelling's d'² of the samples, with its bias.

    Raises:
        MeasurementError: there is no noise.
    """
    signal = present[:, where].mean((0, 1)) - absent[:, where].mean((0, 1))
    apart = [outputs - outputs.mean(0) for outputs in (present, absent)]
    noise = np.concatenate([each.reshape(-1, len(signal)) for each in apart])
    try:
        covariance = noise.T @ noise / _freedom(present, absent)
        squared = float(signal @ np.linalg.solve(covariance, signal))
    except np.linalg.LinAlgError as error:
        raise MeasurementError("the images show no noise, so that any signal is seen") from error
    return squared


def _interval(
    squared: float, d_prime: float, pairs: float, channels: int, freedom: int
) -> tuple[float, float]:
    """Return the 95 % interval of d'.

    Args:
        squared: d'² of the samples, with its bias.
        d_prime: without it.
        pairs: 1 over the sum of the reciprocal numbers of samples with and without the signal.
        channels: number of channels.
        freedom: degrees of freedom of the covariance.
    """
    if pairs * d_prime**2 > _MOST_NONCENTRAL:
        half = 1.96 * math.sqrt(1 / pairs + d_prime**2 / (2 * freedom))
        return d_prime - half, d_prime + half
    rest = freedom - channels + 1
    ratio = pairs * squared * rest / (freedom * channels)
    low, high = (
        _root(float(ncfdtrinc(channels, rest, level, ratio)) / pairs) for level in (0.975, 0.025)
    )
    return low, high


def _root(squared: float) -> float:
    """Return the square root, 0 where chance makes an estimate negative."""
    return math.sqrt(max(squared, 0.0))


def _radius(side: int, centre: tuple[float, float]) -> RealArray:
    """Return `(side, side)`: distance in pixels from a place near the middle."""
    axis = np.arange(side) - (side - 1) / 2
    distance: RealArray = np.hypot(axis[:, None] - centre[0], axis[None, :] - centre[1])
    return distance


def _auc(d_prime: float) -> float:
    return float(norm.cdf(d_prime / math.sqrt(2)))
