"""Repeats of a study of planted discs as work for a batch, so that it can be stopped and resumed.

The object is the scan's middle plane, restored: a plane with little noise. Each repeat adds the
noise of a lower dose to it, with and without discs, and restores what is around them.
"""

from __future__ import annotations

import functools
import math
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from ratcli.batch.outcome import Fact
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead
from ratcli.batch.work import PendingOutput, PlaneProgress, ScanWork
from ratcli.errors import MeasurementError, UnsuitableInputError
from ratcli.evaluation.detectability import LAGUERRE_GAUSS, channels_of, patch_side
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.observers import channel_outputs
from ratcli.evaluation.planted import PlantedDesign
from ratcli.evaluation.uniform_patches import uniform_places
from ratcli.evaluation.views import body_mask
from ratcli.pipeline import RestoreSettings, check
from ratcli.scan import BoolArray, FloatArray, ScanReader

if TYPE_CHECKING:
    from ratcli.physics.ct_dose import CtDose
    from ratcli.pipeline.model import Model

_Sample = TypeVar("_Sample", bound=np.generic)

PATCH_PX = 96
"""Side of what is restored around a disc."""

_TISSUE_HU = (-160.0, 240.0)
_AIR_HU = -600.0
_SKEW = 0.01


@dataclass(frozen=True)
class RepeatJob(Job):
    """One repeat of a study; nothing is written.

    Attributes:
        repeat: its number, which seeds its noise.
    """

    repeat: int = 0

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Nothing."""
        return ()

    @property
    def claims(self) -> tuple[Path, ...]:
        """Nothing."""
        return ()


@dataclass(frozen=True, kw_only=True)
class PlantedWork(ScanWork):
    """Plant discs in a scan, simulate lower doses, restore, and read channel outputs.

    Attributes:
        design: what is measured.
        settings: of the restoration, in full.
    """

    design: PlantedDesign
    settings: RestoreSettings

    def check(self, reader: ScanReader) -> None:
        """Refuse what is no CT scan with square pixels of known size; see `ScanWork.check`."""
        check(self.settings.task, reader)
        rows, columns = reader.info.spacing_mm[1:]
        if not rows or not columns or abs(rows / columns - 1) > _SKEW:
            raise UnsuitableInputError(
                "the pixels are not square, or their size is unknown, which disc sizes need"
            )

    @functools.lru_cache(maxsize=1)  # noqa: B019 - a work is frozen, and one is enough
    def load(self) -> PlantedWorker:
        """Load the network once for each process; see `Work.load`."""
        from ratcli.pipeline.model import Model

        return PlantedWorker(self, Model.load(self.settings))


class PlantedWorker:
    """Reads out repeats one after another.

    Args:
        work: what to do.
        model: the loaded networks.
    """

    def __init__(self, work: PlantedWork, model: Model) -> None:
        self._work, self._model = work, model
        self._planted: Planted | None = None

    def run(self, job: Job, reader: ReadAhead, progress: PlaneProgress) -> PendingOutput:
        """Read out one repeat; see `Worker.run`."""
        assert isinstance(job, RepeatJob)
        return PendingOutput(self._prepared(reader).readouts(job.repeat), ExitStack())

    def seconds(self, reader: ScanReader) -> float:
        """Return about how long one repeat takes, from one simulation and some patches."""
        planted = self._prepared(reader)
        began = time.perf_counter()
        noise = planted.noise_around(planted.design.doses[0], (0, 0, 0))
        simulated = time.perf_counter()
        planted.restored(noise[None])
        restored = time.perf_counter()
        design = planted.design
        patches = (len(design.signals) + 1) * len(design.doses)
        return 2 * len(design.curve) * (simulated - began) + patches * (restored - simulated)

    def _prepared(self, reader: ScanReader) -> Planted:
        if self._planted is None:
            plane = reader.info.planes // 2
            values, padding = reader.read(plane)[0], reader.padding(plane)
            pitch = math.sqrt(math.prod(float(step or 1) for step in reader.info.spacing_mm[1:]))
            self._planted = Planted.of(values, padding, pitch, self._work.design, self._model)
        return self._planted


@dataclass(frozen=True)
class Planted:
    """An object with little noise, and the discs that are planted in it.

    Attributes:
        design: what is measured.
        model: restores.
        object_hu: the plane `(H, W)`.
        padding: `(H, W)`, true where nothing was measured.
        pitch_mm: pixel pitch.
        places: row and column of each place.
        dose: of the scan: its photons explain its noise.
        discs: of a contrast of 1 HU, as the scanner shows them, one for each diameter,
            `(S, PATCH_PX, PATCH_PX)`.
    """

    design: PlantedDesign
    model: Model
    object_hu: FloatArray
    padding: BoolArray
    pitch_mm: float
    places: tuple[tuple[int, int], ...]
    dose: CtDose
    discs: FloatArray

    @classmethod
    def of(
        cls,
        values: FloatArray,
        padding: BoolArray,
        pitch_mm: float,
        design: PlantedDesign,
        model: Model,
    ) -> Planted:
        """Prepare a study.

        Args:
            values: a plane `(H, W)` in HU.
            padding: `(H, W)`, true where nothing was measured.
            pitch_mm: pixel pitch.
            design: what to measure.
            model: restores.

        Raises:
            MeasurementError: the plane shows no noise, or has no uniform place.
        """
        import torch

        from ratcli.physics.ct import blur_with_kernel, calibrate_photons
        from ratcli.physics.ct_dose import CtDose
        from ratcli.physics.scans import scan_noise_hu

        noise = scan_noise_hu(np.where(padding, np.float32(-1000), values)[None])
        if noise is None:
            raise MeasurementError("the middle plane shows no noise, from which to simulate doses")
        clean = model.restore([values[None]], [padding])[0].values[0]
        hu = np.where(padding, np.float32(-1000), clean).astype(np.float32)
        mask = body_mask(clean, _AIR_HU) & ~padding
        places = uniform_places(values, clean, _TISSUE_HU, mask, PATCH_PX // 2)
        dose = CtDose(fraction=1.0, modulation=0.6)
        dose = calibrate_photons(torch.from_numpy(hu), pitch_mm, dose, noise)
        discs = np.stack([_disc(diameter / pitch_mm) for diameter in design.diameters_mm])
        seen = blur_with_kernel(torch.from_numpy(discs), pitch_mm, dose.kernel).numpy()
        return cls(design, model, hu, padding, pitch_mm, places, dose, seen)

    def readouts(self, repeat: int) -> dict[str, Fact]:
        """Return the channel outputs of one repeat; see `Readouts`."""
        design = self.design
        found: dict[str, list[Fact]] = defaultdict(list)
        for at, fraction in enumerate(design.curve):
            present, absent = (self.noise_around(fraction, (repeat, at, kind)) for kind in (0, 1))
            with_discs = np.stack(
                [present + contrast * self.discs[size] for size, contrast in design.signals]
            )
            found["input_absent"].append(self._absent_outputs(absent))
            found["input_present"].append(self._present_outputs(with_discs))
            found["input_variance"].append(_moments(absent, absent)[1])
            if fraction in design.doses:
                restored = self.restored(absent[None])[0]
                found["restored_absent"].append(self._absent_outputs(restored))
                found["restored_present"].append(self._present_outputs(self.restored(with_discs)))
                found["restored_variance"].append(list(_moments(absent, restored)))
        return dict(found)

    def noise_around(self, fraction: float, seed: tuple[int, int, int]) -> FloatArray:
        """Return noise of a dose around the places, `(P, PATCH_PX, PATCH_PX)` in HU."""
        import torch

        from ratcli.physics.ct import low_dose_noise

        state = int(np.random.SeedSequence(seed).generate_state(1, np.uint32)[0])
        generator = torch.Generator().manual_seed(state)
        dose = replace(self.dose, fraction=fraction)
        hu = torch.from_numpy(self.object_hu)
        return self._around(low_dose_noise(hu, self.pitch_mm, dose, generator).numpy())

    def _around(self, plane: npt.NDArray[_Sample]) -> npt.NDArray[_Sample]:
        """Return `(P, PATCH_PX, PATCH_PX)` around the places."""
        half = PATCH_PX // 2
        return np.stack(
            [plane[row - half : row + half, column - half : column + half]
             for row, column in self.places]
        )  # fmt: skip

    def restored(self, changes: FloatArray) -> FloatArray:
        """Restore the object with changes `(G, P, side, side)`; return what is left of them."""
        clean = self._around(self.object_hu)
        patches = clean + changes
        flat = patches.reshape(-1, 1, *patches.shape[2:])
        paddings = np.tile(self._around(self.padding), (len(changes), 1, 1))
        step, done = self.model.batch, []
        for first in range(0, len(flat), step):
            part = slice(first, first + step)
            done += self.model.restore(list(flat[part]), list(paddings[part]))
        values: FloatArray = np.stack([each.values[0] for each in done]).reshape(patches.shape)
        return values - clean

    def _absent_outputs(self, patches: FloatArray) -> list[list[list[float]]]:
        """Return outputs `(S, P, K)` of patches `(P, side, side)`."""
        return [self._outputs(patches, size) for size in range(len(self.discs))]

    def _present_outputs(self, patches: FloatArray) -> list[list[list[float]]]:
        """Return outputs `(G, P, K)` of patches `(G, P, side, side)`."""
        return [
            self._outputs(patch, size)
            for patch, (size, _) in zip(patches, self.design.signals, strict=True)
        ]

    def _outputs(self, patches: FloatArray, size: int) -> list[list[float]]:
        diameter = self.design.diameters_mm[size] / self.pitch_mm
        half = patch_side(diameter) // 2
        seen = slice(PATCH_PX // 2 - half, PATCH_PX // 2 + half + 1)
        outputs = channel_outputs(patches[:, seen, seen], channels_of(LAGUERRE_GAUSS, diameter))
        return [[float(f"{value:.6g}") for value in each] for each in outputs]


def _disc(diameter_px: float) -> FloatArray:
    """Return a disc of height 1 in the middle of a patch."""
    middle = PATCH_PX // 2
    return Disc(middle, middle, diameter_px / 2).coverage((PATCH_PX, PATCH_PX))


def _moments(before: FloatArray, after: FloatArray) -> tuple[float, float]:
    """Return covariance and variance of noise `(P, side, side)` in the middle of patches."""
    inner = slice(PATCH_PX // 2 - 12, PATCH_PX // 2 + 12)
    first, second = (patches[:, inner, inner].astype(np.float64) for patches in (before, after))
    first, second = (each - each.mean((1, 2), keepdims=True) for each in (first, second))
    return float((first * second).mean()), float((second**2).mean())
