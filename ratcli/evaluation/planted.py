"""A study of discs planted in a scan: d' over the dose, and the dose that a restoration is worth.

Each repeat gives the channel outputs of an observer with and without each disc; see
`ratcli.batch.planting`. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from ratcli.evaluation.comparison import INPUT
from ratcli.evaluation.detectability import LAGUERRE_GAUSS, DetectabilityRow
from ratcli.evaluation.observers import hotelling, hotelling_squared

RealArray = npt.NDArray[np.float64]

CURVE = (0.1, 0.25, 0.5, 1.0)
"""Doses at which the input is measured, besides those that are restored."""

ALL_DISCS = "all clear discs"

_DRAWS = 200
_CLEAR = 1.0


@dataclass(frozen=True)
class PlantedDesign:
    """What a study measures.

    Attributes:
        doses: fractions of the dose of the scan at which repeats are restored.
        strengths: share of the restoration by name.
        repeats: repeats with the discs, and as many without.
        diameters_mm: of the discs.
        contrasts_hu: of the discs.
        internal_noise: variance that the observer adds, as a share of the image's.
    """

    doses: tuple[float, ...]
    strengths: tuple[tuple[str, float], ...]
    repeats: int
    diameters_mm: tuple[float, ...] = (3.0, 5.0, 7.0, 10.0)
    contrasts_hu: tuple[float, ...] = (5.0, 10.0, 20.0)
    internal_noise: float = 0.0

    @property
    def curve(self) -> tuple[float, ...]:
        """All doses at which the input is measured, the lowest first."""
        return tuple(sorted({*self.doses, *CURVE}))

    @property
    def signals(self) -> tuple[tuple[int, float], ...]:
        """Each disc: the place of its diameter in `diameters_mm`, and its contrast in HU."""
        return tuple(product(range(len(self.diameters_mm)), self.contrasts_hu))


@dataclass(frozen=True)
class Readouts:
    """Channel outputs of all repeats, for R repeats, D doses, P places and K channels.

    Attributes:
        input_absent: without a disc, by diameter, at the doses of the curve, `(R, D, S, P, K)`.
        input_present: with each disc, `(R, D, G, P, K)`.
        restored_absent: the same after restoring in full, at the doses that are restored.
        restored_present: with each disc.
        input_variance: of the noise at the doses of the curve in HU², `(R, D)`.
        restored_variance: covariance of the noise before and after restoring, and variance after
            it, `(R, D, 2)`.
    """

    input_absent: RealArray
    input_present: RealArray
    restored_absent: RealArray
    restored_present: RealArray
    input_variance: RealArray
    restored_variance: RealArray

    @classmethod
    def of(cls, repeats: Sequence[Mapping[str, object]]) -> Readouts:
        """Join the readouts of repeats, each a list for each attribute.

        Raises:
            KeyError, ValueError: a repeat is not as expected.
        """
        names = cls.__annotations__
        return cls(**{name: np.array([each[name] for each in repeats], float) for name in names})

    def drawn(self, repeats: npt.NDArray[np.int64]) -> Readouts:
        """Return some of the repeats, each as often as it is named."""
        return Readouts(**{name: getattr(self, name)[repeats] for name in self.__annotations__})


@dataclass(frozen=True)
class DoseEquivalence:
    """At which dose the unrestored scan detects as well as the restored one does.

    Attributes:
        image: name of the restored image.
        signal: name of the disc, or `ALL_DISCS` for the geometric mean over the discs of which the
            d' in the input is above 1.
        dose: at which the scan was restored, as a fraction of its dose.
        detects_as: dose at which the input has the same d'; nan if it is unknown.
        low: lower end of the 95 % bootstrap interval over repeats.
        high: upper end.
        noise_as: dose at which the input has the same noise.
    """

    image: str
    signal: str
    dose: float
    detects_as: float
    low: float
    high: float
    noise_as: float

    @property
    def sentence(self) -> str:
        """The equivalence in words."""
        ends = "" if math.isnan(self.low) else f" (95 % interval {self.low:.2g} to {self.high:.2g})"
        return (
            f"{self.image.capitalize()} at {self.dose:g} of the dose detects discs as the input at "
            f"{self.detects_as:.2g} of the dose does{ends}; its noise is that of "
            f"{self.noise_as:.2g}."
        )


@dataclass(frozen=True)
class PlantedResults:
    """The figures of a study, from its readouts."""

    design: PlantedDesign
    readouts: Readouts

    def rows(self) -> tuple[DetectabilityRow, ...]:
        """Return d' of every disc, in the input at all doses and restored with each strength.

        Raises:
            MeasurementError: too few repeats.
        """
        rows = [
            row
            for at, dose in enumerate(self.design.curve)
            for row in self._rows(INPUT, dose, *_input(self.readouts, at))
        ]
        for (at, dose), (name, strength) in product(
            enumerate(self.design.doses), self.design.strengths
        ):
            pair = _blend(self.readouts, at, self.design.curve.index(dose), strength)
            rows += self._rows(restored_name(name), dose, *pair)
        return tuple(rows)

    def equivalences(self, seed: int = 0) -> tuple[DoseEquivalence, ...]:
        """Return the dose that each restoration is worth, with intervals over repeats."""
        rng, count = np.random.default_rng(seed), self.design.repeats
        draws = [rng.integers(count, size=count) for _ in range(_DRAWS)]
        # Fewer different repeats than this do not tell the covariance of all channels.
        places, channels = self.readouts.input_absent.shape[-2:]
        fewest = 2 + channels // (2 * places)
        enough = [draw for draw in draws if len(set(draw)) > fewest]
        drawn = [self._worth(self.readouts.drawn(draw)) for draw in enough]
        every = self._with_mean(np.stack([self._worth(self.readouts), *drawn]))
        (low, high), whole = _interval(every[1:]), every[0]
        names = [*map(self.signal_name, self.design.signals), ALL_DISCS]
        pairs = product(enumerate(self.design.doses), enumerate(self.design.strengths))
        return tuple(
            DoseEquivalence(
                restored_name(name),
                signal,
                dose,
                float(whole[i, j, k]),
                float(low[i, j, k]),
                float(high[i, j, k]),
                self._noise_worth(i, strength),
            )
            for (i, dose), (j, (name, strength)) in pairs
            for k, signal in enumerate(names)
        )

    def _with_mean(self, worth: RealArray) -> RealArray:
        """Append the geometric mean over the discs that the input shows well."""
        means = np.full((*worth.shape[:-1], 1), math.nan)
        for i, dose in enumerate(self.design.doses):
            at = self.design.curve.index(dose)
            clear = self._d_primes(*_input(self.readouts, at)) > _CLEAR
            if clear.any():
                means[:, i, :, 0] = np.exp(np.log(worth[:, i][..., clear]).mean(-1))
        return np.concatenate([worth, means], axis=-1)

    def signal_name(self, signal: tuple[int, float]) -> str:
        """Return the name of a disc."""
        return f"{self.design.diameters_mm[signal[0]]:g} mm, {signal[1]:g} HU"

    def _rows(
        self, image: str, dose: float, absent: RealArray, present: RealArray
    ) -> list[DetectabilityRow]:
        rows = []
        for at, (size, contrast) in enumerate(self.design.signals):
            found = hotelling(present[:, at], absent[:, size])
            row = DetectabilityRow(
                image, self.signal_name((size, contrast)), self.design.diameters_mm[size],
                contrast, LAGUERRE_GAUSS, found.with_internal_noise(self.design.internal_noise),
                dose,
            )  # fmt: skip
            rows.append(row)
        return rows

    def _worth(self, readouts: Readouts) -> RealArray:
        """Return the doses that restorations are worth, `(doses, strengths, discs)`.

        The d' of a restoration is compared with that of the input at the same dose, whose noise is
        the same; a power law, fitted to the input at all doses, turns their ratio into a dose.
        """
        design = self.design
        curve = np.array([self._d_primes(*_input(readouts, at)) for at in range(len(design.curve))])
        exponent = _exponent(np.array(design.curve), curve)
        worth = np.full((len(design.doses), len(design.strengths), len(design.signals)), np.nan)
        for (i, dose), (j, (_, strength)) in product(
            enumerate(design.doses), enumerate(design.strengths)
        ):
            at = design.curve.index(dose)
            found = self._d_primes(*_blend(readouts, i, at, strength))
            seen = (found > 0) & (curve[at] > 0)
            worth[i, j, seen] = dose * (found[seen] / curve[at, seen]) ** (1 / exponent)
        return worth

    def _d_primes(self, absent: RealArray, present: RealArray) -> RealArray:
        squares = [
            hotelling_squared(present[:, at], absent[:, size])
            for at, (size, _) in enumerate(self.design.signals)
        ]
        return np.sqrt(np.maximum(squares, 0.0))

    def _noise_worth(self, at: int, strength: float) -> float:
        """Return the dose at which the input has the noise of a restoration."""
        readouts, curve = self.readouts, self.design.curve
        before = readouts.input_variance.mean(0)
        shared, after = readouts.restored_variance[:, at].mean(0)
        own = before[curve.index(self.design.doses[at])]
        left = (1 - strength) ** 2 * own + 2 * strength * (1 - strength) * shared
        left += strength**2 * after
        # Noise falls with the dose, so that both are turned round for the interpolation.
        logs = np.interp(-math.log(left), -np.log(before), np.log(curve))
        return float(math.exp(logs)) if left >= before[-1] else float(before[-1] / left)


def restored_name(strength: str) -> str:
    """Return the name of an image that was restored with a named strength."""
    return f"restored {strength}"


def _exponent(doses: RealArray, d_primes: RealArray) -> float:
    """Return the power of the dose with which d' `(doses, discs)` grows, over clear discs.

    Without a clear disc it is a half, as where photons make all of the noise.
    """
    clear = (d_primes > _CLEAR).all(0)
    if not clear.any():
        return 0.5
    along = np.log(doses) - np.log(doses).mean()
    return float((along @ np.log(d_primes[:, clear])).mean() / (along @ along))


def _input(readouts: Readouts, at: int) -> tuple[RealArray, RealArray]:
    """Return outputs without and with discs at a dose of the curve, `(R, S or G, P, K)`."""
    return readouts.input_absent[:, at], readouts.input_present[:, at]


def _blend(
    readouts: Readouts, at: int, on_curve: int, strength: float
) -> tuple[RealArray, RealArray]:
    """Return outputs at a restored dose; channels are linear, as the blend is."""
    absent, present = _input(readouts, on_curve)
    return (
        absent + strength * (readouts.restored_absent[:, at] - absent),
        present + strength * (readouts.restored_present[:, at] - present),
    )


def _interval(drawn: RealArray) -> tuple[RealArray, RealArray]:
    """Return the ends of 95 % intervals over draws; nan where fewer than nine in ten are known."""
    known = np.isfinite(drawn).mean(0) > 0.9
    filled = np.where(np.isfinite(drawn), drawn, 0.0)
    low, high = np.quantile(filled, (0.025, 0.975), axis=0)
    return np.where(known, low, math.nan), np.where(known, high, math.nan)
