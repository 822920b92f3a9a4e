"""Material for the compact SAM: degraded pictures beside the regions of clean ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ratcli.partition.display import layered_picture
from ratcli.partition.scenes import Scene, draw_gray, draw_stained
from ratcli.partition.superpixel import Superpixel
from ratcli.physics.anatomy.ct import ct_slice
from ratcli.physics.ct import low_dose_noise, sample_dose
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.tasks.ct_denoise import CT_DENOISE
from ratcli.training.material import CleanPlane

# Regions of fewer pixels are smaller than a token of the network that uses the partition.
_SMALLEST = 64


@dataclass(frozen=True)
class Prompted:
    """Prompts of I images, P each, and what they ask for.

    Attributes:
        pictures: uint8 `(I, 3, S, S)`.
        points: `(I, P, 2)`, x and y in pixels.
        boxes: `(I, P, 4)`, left, top, right and bottom.
        targets: bool `(I, P, S/4, S/4)`.
    """

    pictures: Tensor
    points: Tensor
    boxes: Tensor
    targets: Tensor


class SceneSource:
    """Draws scenes: procedural CT, real CT with pseudo-labels, gray and stained scenes.

    Args:
        seed: decides everything.
        planes: clean planes in HU; may be empty.
        real: share of real planes among the CT scenes.
        noise_hu: range of the simulated noise.
    """

    def __init__(
        self,
        seed: int,
        planes: Sequence[CleanPlane],
        real: float,
        noise_hu: tuple[float, float],
    ) -> None:
        self._seed, self._noise_hu = seed, noise_hu
        self._real = real if planes else 0.0
        self._patients: dict[str, list[CleanPlane]] = {}
        for plane in planes:
            self._patients.setdefault(plane.patient, []).append(plane)

    def make(self, index: int, side: int) -> Scene:
        """Return the scene of an index, a picture of `(side, side)`."""
        rng = np.random.default_rng((self._seed, index))
        kind = rng.random()
        if kind < 0.2:
            return draw_stained(rng, side)
        if kind < 0.4:
            return draw_gray(rng, side)
        if rng.random() < self._real:
            return self._real_ct(rng, side)
        spacing = float(rng.uniform(0.6, 1.0)) * 512 / side
        hu, labels = ct_slice(rng, size=side, spacing_mm=spacing)
        return self._degraded(rng, CleanPlane("procedural", hu[None], spacing), labels, None)

    def _real_ct(self, rng: np.random.Generator, side: int) -> Scene:
        """A real plane; its regions are those of classes of intensity, at a random scale."""
        patient = sorted(self._patients)[int(rng.integers(len(self._patients)))]
        planes = self._patients[patient]
        plane = _cropped(planes[int(rng.integers(len(planes)))], side, rng)
        classical = Superpixel(
            sigma_gray=float(rng.uniform(1.2, 2.5)),
            classes_gray=int(rng.integers(4, 8)),
            softness=float(rng.choice([0.15, 0.25, 0.5])),
            smallest=int(rng.choice([64, 128, 256])),
        )
        labels = classical.partition(CT_DENOISE.normalise(plane.values)).labels
        return self._degraded(rng, plane, labels, 1.0)

    def _degraded(
        self,
        rng: np.random.Generator,
        plane: CleanPlane,
        labels: LabelArray,
        original: float | None,
    ) -> Scene:
        """Show a clean plane as a low dose would; its regions stay those of the clean one."""
        values = plane.values[0]
        if rng.random() < 0.8:
            dose = replace(sample_dose(rng, self._noise_hu), original=original)
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            hu = torch.from_numpy(values)
            values = (hu + low_dose_noise(hu, plane.spacing_mm, dose, generator)).numpy()
        return Scene(CT_DENOISE.normalise(values[None].astype(np.float32)), labels)


class ScenePool:
    """Scenes to draw from; the oldest are replaced after every step.

    What it holds depends on the step alone, so that a resumed run goes on as an undisturbed one.

    Args:
        source: draws scenes.
        side: of a picture.
        size: scenes held.
        refresh: scenes replaced at each step.
        step: step at which the run begins or goes on.
        workers: processes that draw scenes ahead; 0 draws them here.
    """

    def __init__(
        self,
        source: SceneSource,
        side: int,
        size: int,
        refresh: int,
        step: int = 0,
        workers: int = 0,
    ) -> None:
        self._size, self._refresh, self._next = size, refresh, step * refresh
        stream = _Stream(source, side, self._next)
        loader = DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=_same)
        self._stream: Iterator[Scene] = iter(loader)
        self._scenes: dict[int, Scene] = {}
        self._take(size)

    def advance(self) -> None:
        """Replace the oldest scenes."""
        self._take(self._refresh)

    def draw(self, rng: np.random.Generator, count: int) -> list[Scene]:
        """Draw scenes, mirrored and transposed at random."""
        chosen = rng.choice(self._size, count, replace=count > self._size)
        return [_turned(rng, self._scenes[int(slot)]) for slot in chosen]

    def _take(self, count: int) -> None:
        for _ in range(count):
            self._scenes[self._next % self._size] = next(self._stream)
            self._next += 1


class _Stream(IterableDataset[Scene]):
    """Scenes from an index on, in order, whichever process draws them."""

    def __init__(self, source: SceneSource, side: int, first: int) -> None:
        self._source, self._side, self._first = source, side, first

    def __iter__(self) -> Iterator[Scene]:
        worker = get_worker_info()
        offset, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in itertools.count(self._first + offset, step):
            yield self._source.make(index, self._side)


def _same(scene: Any) -> Any:
    return scene


def _turned(rng: np.random.Generator, scene: Scene) -> Scene:
    plane, labels = scene.plane, scene.labels
    for axis in (-1, -2):
        if rng.random() < 0.5:
            plane, labels = np.flip(plane, axis), np.flip(labels, axis)
    if rng.random() < 0.5:
        plane, labels = plane.swapaxes(-1, -2), labels.T
    return Scene(np.ascontiguousarray(plane), np.ascontiguousarray(labels))


def _cropped(plane: CleanPlane, size: int, rng: np.random.Generator) -> CleanPlane:
    """Cut or subsample a plane to a square of `size`."""
    values = plane.values
    short = min(values.shape[1:])
    step = max(1, short // size)
    values = values[:, ::step, ::step]
    down, right = (max(0, size - n) for n in values.shape[1:])
    values = np.pad(values, ((0, 0), (0, down), (0, right)), mode="edge")
    top, left = (int(rng.integers(n - size + 1)) for n in values.shape[1:])
    cut = np.ascontiguousarray(values[:, top : top + size, left : left + size])
    return replace(plane, values=cut, spacing_mm=plane.spacing_mm * step)


def prompt_scenes(rng: np.random.Generator, scenes: Sequence[Scene], count: int) -> Prompted:
    """Draw prompts: half from pixels, half from regions, so that small ones are asked for too.

    Args:
        rng: source of randomness.
        scenes: of one size, a multiple of 16.
        count: prompts for each scene.
    """
    asked = [_prompt(rng, scene.labels, count) for scene in scenes]
    points, boxes, targets = (np.stack(part) for part in zip(*asked, strict=True))
    pictures = np.stack([layered_picture(scene.plane) for scene in scenes])
    return Prompted(
        torch.from_numpy(pictures).permute(0, 3, 1, 2),
        torch.from_numpy(points),
        torch.from_numpy(boxes),
        torch.from_numpy(targets),
    )


def _prompt(
    rng: np.random.Generator, labels: LabelArray, count: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Points `(P, 2)`, jittered boxes `(P, 4)` and masks of a label map `(S, S)`."""
    areas = np.bincount(labels.ravel())
    large = np.flatnonzero(areas >= min(_SMALLEST, areas.max()))
    weights = areas[large] / areas[large].sum()
    # In a random order: which are asked for by points, and which by boxes, follows from the place.
    asked = rng.permutation(
        [*rng.choice(large, count // 2), *rng.choice(large, count - count // 2, p=weights)]
    )
    points, boxes, masks = [], [], []
    for region in asked:
        mask = labels == region
        rows, columns = np.nonzero(mask)
        at = int(rng.integers(rows.size))
        points.append((columns[at], rows[at]))
        box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float32)
        extent = np.tile(box[2:] - box[:2] + 1, 2)
        boxes.append(box + rng.normal(0, 0.05, 4) * extent)
        masks.append(mask[2::4, 2::4])
    return np.array(points, np.float32), np.array(boxes, np.float32), np.stack(masks)
