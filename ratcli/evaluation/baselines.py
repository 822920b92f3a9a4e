"""Classical methods in the same table as the network, each tuned on training scans only.

Strengths are in multiples of each plane's own noise, so that one setting serves quiet and
noisy planes alike. The usual settings are what tuning found on the training scans of the recipe of
each task, at a quarter of the dose or counts (`benchmarks/tuned_baselines.py` prints them). BM3D
runs where the user has installed it: its licence is non-commercial, so it is never a dependency.
No torch here.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from ratcli.errors import MeasurementError, UsageError
from ratcli.evaluation.window import WINDOWS, Window
from ratcli.physics.local_noise import typical_noise
from ratcli.scan import FloatArray

RealArray = npt.NDArray[np.float64]
MethodSettings = Mapping[str, float]


@dataclass(frozen=True)
class Method:
    """A classical method.

    Attributes:
        run: plane `(H, W)` float64, its noise, settings -> `(H, W)`.
        usual: settings by unit of the scan, for users without training scans to tune on.
    """

    run: Callable[[RealArray, float, MethodSettings], RealArray]
    usual: Mapping[str, MethodSettings]


@dataclass(frozen=True)
class Baseline:
    """A method with settled settings; call it with a plane.

    Attributes:
        name: as in `BASELINES`.
        settings: what tuning chose.
        window: where the noise is measured and the fidelity was tuned.
    """

    name: str
    settings: MethodSettings
    window: Window

    def __call__(self, plane: FloatArray) -> FloatArray:
        """Denoise `(C, H, W)` or `(H, W)`; channels apart; float32 of the same shape.

        Raises:
            UsageError: the method's package is not installed.
        """
        planes = plane[None] if plane.ndim == 2 else plane
        done = [self._channel(channel) for channel in planes]
        return np.stack(done).reshape(plane.shape)

    def _channel(self, channel: FloatArray) -> FloatArray:
        sd = plane_noise(channel, self.window)
        values = channel.astype(np.float64)
        if sd == 0.0:
            return channel.astype(np.float32)
        return BASELINES[self.name].run(values, sd, self.settings).astype(np.float32)


def usual_baseline(name: str, unit: str | None, window: Window | None) -> Baseline:
    """Return a method with the settings that tuning found for scans of a unit.

    Args:
        name: as in `BASELINES`.
        unit: of the scan; Bq/ml is taken as SUV, what is neither that nor HU as HU.
        window: where to measure the noise in units that nothing was tuned for.

    Raises:
        UsageError: nothing was tuned for the unit, and no window is given.
    """
    noisy = TUNED_OVER.get(unit or "", window)
    if noisy is None:
        raise UsageError("a baseline needs a window", hint="Give --window LOW,HIGH.")
    return Baseline(name, BASELINES[name].usual["SUV" if unit in ("SUV", "Bq/ml") else "HU"], noisy)


def plane_noise(plane: FloatArray, window: Window) -> float:
    """Return the noise of `(H, W)` inside the window, else anywhere, else 0 if noiseless."""
    for within in ((window.low, window.high), None):
        try:
            return typical_noise(plane, within)
        except MeasurementError:
            continue
    return 0.0


def installed(name: str) -> bool:
    """Tell whether a baseline can run here: only BM3D needs a package of its own."""
    return name != "bm3d" or importlib.util.find_spec("bm3d") is not None


def check_installed(name: str) -> None:
    """Refuse a baseline that cannot run here.

    Raises:
        UsageError: its package is not installed.
    """
    if not installed(name):
        raise UsageError(
            "BM3D was asked for, but the package bm3d is not installed",
            hint="Its licence is non-commercial; if it fits your use: pip install bm3d.",
        )


def bicubic(plane: FloatArray, scale: int) -> FloatArray:
    """Enlarge a plane by bicubic interpolation, pixel centres aligned, borders repeated.

    Args:
        plane: `(C, H, W)` or `(H, W)`.
        scale: output pixels for each input pixel and axis.

    Source: Keys, IEEE TASSP 29(6), 1981, with a = -0.5, as MATLAB's and Pillow's.
    """
    rows, columns = (_cubic_weights(size, scale) for size in plane.shape[-2:])
    large: RealArray = rows @ plane.astype(np.float64) @ columns.T
    return large.astype(np.float32)


def _cubic_weights(size: int, scale: int) -> RealArray:
    """Return `(size * scale, size)`: the weight of each input pixel in each output pixel."""
    where = (np.arange(size * scale) + 0.5) / scale - 0.5
    base = np.floor(where).astype(np.int64)
    weights = np.zeros((size * scale, size))
    for shift in (-1, 0, 1, 2):
        distance = np.abs(where - (base + shift))
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
        tap = np.clip(base + shift, 0, size - 1)
        np.add.at(weights, (np.arange(len(where)), tap), np.where(distance <= 1.0, near, far))
    return weights


def _gaussian(plane: RealArray, sd: float, settings: MethodSettings) -> RealArray:
    smooth: RealArray = gaussian_filter(plane, settings["sigma_px"])
    return smooth


def _nl_means(plane: RealArray, sd: float, settings: MethodSettings) -> RealArray:
    # Divided by the noise: distances near 1 keep the fast summed-area form accurate.
    smooth: RealArray = denoise_nl_means(
        plane / sd,
        patch_size=int(settings["patch_px"]),
        patch_distance=int(settings["distance_px"]),
        h=settings["strength"],
        sigma=settings["sigma"],
        fast_mode=True,
    )
    return smooth * sd


def _total_variation(plane: RealArray, sd: float, settings: MethodSettings) -> RealArray:
    smooth: RealArray = denoise_tv_chambolle(  # type: ignore[no-untyped-call]
        plane / sd, weight=settings["strength"], eps=1e-4, max_num_iter=300
    )
    return smooth * sd


def _bm3d(plane: RealArray, sd: float, settings: MethodSettings) -> RealArray:
    check_installed("bm3d")
    smooth: RealArray = importlib.import_module("bm3d").bm3d(plane / sd, settings["strength"])
    return np.asarray(smooth).reshape(plane.shape) * sd


TUNED_OVER: dict[str, Window] = {"HU": WINDOWS["ct-soft"], "SUV": WINDOWS["pet-warm"]}
"""By unit, where the usual settings were tuned, and where they need the noise."""

BASELINES: dict[str, Method] = {
    "gaussian": Method(_gaussian, usual={"HU": {"sigma_px": 0.77}, "SUV": {"sigma_px": 1.86}}),
    "nl-means": Method(
        _nl_means,
        usual={
            "HU": {"strength": 0.77, "sigma": 0.7, "patch_px": 5, "distance_px": 11},
            "SUV": {"strength": 1.59, "sigma": 1.1, "patch_px": 9, "distance_px": 5},
        },
    ),
    "total-variation": Method(
        _total_variation, usual={"HU": {"strength": 0.8}, "SUV": {"strength": 2.5}}
    ),
    # Not tuned: it cannot be a dependency. Its authors' own noise is a strength of 1.
    "bm3d": Method(_bm3d, usual={"HU": {"strength": 1.2}, "SUV": {"strength": 1.2}}),
}
