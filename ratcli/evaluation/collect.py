"""Gathering figures scene by scene: noise, resolution, uptake, calibration, phantoms.

Each collector has `add(scene)` and gives rows at the end; what it cannot measure becomes a note.
No torch here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ratcli.errors import MeasurementError
from ratcli.evaluation.activity import uptake
from ratcli.evaluation.noise import FEWEST_PATCHES, Spectrum, noise_power_spectrum
from ratcli.evaluation.quantitation import uniformity
from ratcli.evaluation.resolution import disc_transfer, edge_transfer
from ratcli.evaluation.results import (
    CalibrationRow,
    NoiseRow,
    PhantomRow,
    StainRow,
    TransferRow,
    UptakeRow,
)
from ratcli.evaluation.roi import (
    BODY,
    Disc,
    RegionSource,
    phantom_body,
    phantom_inserts,
    uniform_patches,
)
from ratcli.evaluation.scene import INPUT, REFERENCE, RESTORED, Scene, channels_rms, named_images
from ratcli.evaluation.stain import colour_difference, sharpness, stain_shift
from ratcli.evaluation.window import WINDOWS
from ratcli.physics.local_noise import noise_level
from ratcli.scan import Box, FloatArray

RealArray = npt.NDArray[np.float64]

_MOST_PATCHES = 400
_MOST_REPEATS = 32
_DISC_MARGIN_PX = 8.0
_WALL_MM = 20.0
_GROUPS = 10


def cleanest(scene: Scene) -> FloatArray:
    """Return the image in which to look for places: the reference, else the restored one."""
    return scene.images[RESTORED] if scene.reference is None else scene.reference


@dataclass
class NoiseCollector:
    """Noise levels, and spectra over patches that are the same for all images.

    Attributes:
        unit: of the scan; CT is measured in soft tissue.
        spacing_mm: pixel pitch, None where rows and columns differ or it is unknown.
        sides_px: sides of patches to look for; the first of which four are found is used.
    """

    unit: str | None
    spacing_mm: float | None
    # Below 14 pixels the plane fit takes more than 1.5 % of the variance.
    sides_px: tuple[int, ...] = (32, 16, 14)
    _levels: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _patches: dict[int, dict[str, list[RealArray]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, scene: Scene) -> None:
        """Measure the noise of every image of a scene."""
        soft = WINDOWS["ct-soft"]
        within = (soft.low, soft.high) if self.unit == "HU" else None
        for name, image in named_images(scene).items():
            try:
                level = noise_level(image[0], within, scene.trusted)
            except MeasurementError:
                level = math.nan
            self._levels[name].append(level)
        for side in self.sides_px:
            boxes = self._boxes(scene, within, side)
            for name, image in named_images(scene).items():
                kept = self._patches[side][name]
                room = _MOST_PATCHES - len(kept)
                kept += [image[0][box.slices].astype(np.float64) for box in boxes[:room]]
            if self._enough(side):
                break

    def _enough(self, side: int) -> bool:
        return any(len(kept) >= FEWEST_PATCHES for kept in self._patches[side].values())

    def _boxes(
        self, scene: Scene, within: tuple[float, float] | None, side: int
    ) -> tuple[Box, ...]:
        """Find patches in the image that shows structure best.

        A simulated one may have no noise, by which patches are told from structure: then in a
        noisier one, where the first is flat.
        """
        best = cleanest(scene)[0]
        others = [scene.images[RESTORED], *scene.images.values()]
        for image, clean in ((best, None), *((other[0], best) for other in others)):
            try:
                boxes = uniform_patches(image, side, within, scene.trusted, clean)
            except MeasurementError:
                continue
            if boxes:
                return boxes
        return ()

    def rows(self) -> tuple[NoiseRow, ...]:
        """Return a row for each image."""
        return tuple(
            NoiseRow(name, tuple(levels), self._spectrum(name))
            for name, levels in self._levels.items()
        )

    def notes(self) -> tuple[str, ...]:
        """Tell why there is no spectrum, if there is none."""
        if self.spacing_mm is None:
            return ("No noise spectrum: the pixel spacing is not known, or not square.",)
        if self._levels and not any(self._enough(side) for side in self.sides_px):
            return (
                f"No noise spectrum: fewer than {FEWEST_PATCHES} uniform patches of "
                f"{self.sides_px[-1]} pixels were found.",
            )
        return ()

    def _spectrum(self, name: str) -> Spectrum | None:
        side = next((side for side in self.sides_px if self._enough(side)), None)
        if self.spacing_mm is None or side is None:
            return None
        try:
            return noise_power_spectrum(np.stack(self._patches[side][name]), self.spacing_mm)
        except MeasurementError:
            return None


@dataclass
class TransferCollector:
    """Transfer functions at round and straight edges, averaged over planes.

    Attributes:
        edges: discs and boxes by name.
        spacing_mm: pixel pitch.
    """

    edges: Mapping[str, Disc | Box]
    spacing_mm: float
    _stacks: dict[tuple[str, str], list[FloatArray]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, scene: Scene) -> None:
        """Keep the surroundings of each edge."""
        for image_name, image in named_images(scene).items():
            for edge_name, edge in self.edges.items():
                stack = self._stacks[image_name, edge_name]
                if len(stack) < _MOST_REPEATS:
                    stack.append(image[0][_around(edge, image.shape[-2:]).slices])

    def rows(self) -> tuple[tuple[TransferRow, ...], tuple[str, ...]]:
        """Return the transfer functions, and notes on those that could not be measured."""
        rows, notes = [], []
        for (image, name), stack in self._stacks.items():
            edge, planes = self.edges[name], np.stack(stack)
            try:
                if isinstance(edge, Box):
                    transfer = edge_transfer(planes, self.spacing_mm)
                else:
                    box = _around(edge, (1 << 30, 1 << 30))
                    centre = (edge.row - box.top, edge.column - box.left)
                    margin = min(_DISC_MARGIN_PX, edge.radius)
                    transfer = disc_transfer(planes, self.spacing_mm, centre, edge.radius, margin)
                rows.append(TransferRow(image, name, transfer))
            except MeasurementError as error:
                notes.append(f"No transfer function of {image} at {name}: {error}.")
        return tuple(rows), tuple(notes)


@dataclass
class UptakeCollector:
    """Uptake in given regions, over the whole volume.

    Attributes:
        regions: given ones.
        spacing_mm: between planes, rows and columns.
    """

    regions: RegionSource
    spacing_mm: tuple[float, float, float]
    _planes: dict[str, list[FloatArray]] = field(default_factory=lambda: defaultdict(list))
    _labels: list[npt.NDArray[np.int32]] = field(default_factory=list)

    def add(self, scene: Scene) -> None:
        """Keep a plane."""
        for name, image in named_images(scene).items():
            if name in (RESTORED, INPUT, REFERENCE):
                self._planes[name].append(image[0])
        self._labels.append(np.where(scene.mask, scene.labels, -1))

    def rows(self) -> tuple[UptakeRow, ...]:
        """Return a row for each region."""
        labels = np.stack(self._labels)
        volumes = {name: np.stack(planes) for name, planes in self._planes.items()}
        rows = []
        for label in np.unique(labels[labels >= 0]).tolist():
            mask = labels == label
            found = {
                name: uptake(volume, mask, self.spacing_mm) for name, volume in volumes.items()
            }
            rows.append(
                UptakeRow(
                    self.regions.names.get(label, f"region {label}"),
                    found[RESTORED],
                    found.get(REFERENCE),
                    found.get(INPUT),
                    self.regions.nominal.get(label),
                )
            )
        return tuple(rows)


@dataclass
class CalibrationCollector:
    """Told uncertainty beside true error, in 200 steps of uncertainty 6 % apart."""

    _sums: RealArray = field(default_factory=lambda: np.zeros((3, 400)))

    def add(self, scene: Scene) -> None:
        """Add a plane that has both an uncertainty and a reference."""
        if scene.uncertainty is None or scene.reference is None:
            return
        told = scene.uncertainty[scene.mask].astype(np.float64)
        apart = channels_rms(scene.images[RESTORED] - scene.reference)
        error = apart[scene.mask].astype(np.float64)
        positive = told > 0.0
        told, error = told[positive], error[positive]
        step = np.clip(np.round(np.log(told) / 0.06) + 200, 0, 399).astype(np.int64)
        for row, weights in enumerate((np.ones_like(told), told**2, error**2)):
            self._sums[row] += np.bincount(step, weights, minlength=400)

    def rows(self) -> tuple[CalibrationRow, ...]:
        """Return ten groups of about as many pixels, from low to high uncertainty."""
        counts = self._sums[0]
        if counts.sum() == 0:
            return ()
        share = np.cumsum(counts) / counts.sum()
        group = np.minimum((share * _GROUPS - 1e-9).astype(np.int64), _GROUPS - 1)
        rows = []
        for number in np.unique(group[counts > 0]):
            pixels, told, error = self._sums[:, (group == number) & (counts > 0)].sum(axis=1)
            told_rms, error_rms = math.sqrt(told / pixels), math.sqrt(error / pixels)
            rows.append(CalibrationRow(told_rms, error_rms, int(pixels)))
        return tuple(rows)


def stain_rows(scene: Scene) -> tuple[StainRow, ...]:
    """Return H&E figures of every image of a scene against the reference."""
    reference = scene.reference
    if reference is None:
        return ()
    rows = []
    for name, image in scene.images.items():
        try:
            stain = stain_shift(image, reference)
        except MeasurementError:
            continue
        colour, sharp = colour_difference(image, reference), sharpness(image, reference)
        rows.append(StainRow(name, scene.view.plane, stain, colour, sharp))
    return tuple(rows)


def phantom_edges(scene: Scene) -> dict[str, Disc | Box]:
    """Return the round edges of a phantom: its body and its inserts.

    Raises:
        MeasurementError: the scene shows no round body.
    """
    plane = _without_padding(cleanest(scene)[0], scene)
    body = phantom_body(plane)
    inserts = phantom_inserts(plane, body)
    named: dict[str, Disc | Box] = {BODY: body}
    return named | {f"insert {index + 1}": disc for index, disc in enumerate(inserts)}


def phantom_rows(scene: Scene, body: Disc, spacing_mm: float) -> tuple[PhantomRow, ...]:
    """Return the uniformity of every image of a scene, 20 mm inside the body's outline.

    Raises:
        MeasurementError: the discs do not fit into the body.
    """
    return tuple(
        PhantomRow(name, uniformity(image[0], body, _WALL_MM / spacing_mm), None)
        for name, image in named_images(scene).items()
    )


def _without_padding(plane: FloatArray, scene: Scene) -> FloatArray:
    """Return the plane with padding raised to the lowest measured value."""
    return np.where(scene.mask, plane, plane[scene.mask].min()).astype(np.float32)


def _around(edge: Disc | Box, shape: tuple[int, ...]) -> Box:
    """Return a box that holds an edge and its margin."""
    if isinstance(edge, Box):
        return edge
    reach = edge.radius + min(_DISC_MARGIN_PX, edge.radius) + 1.0
    top, left = max(math.floor(edge.row - reach), 0), max(math.floor(edge.column - reach), 0)
    bottom = min(math.ceil(edge.row + reach) + 1, shape[0])
    right = min(math.ceil(edge.column + reach) + 1, shape[1])
    return Box(top, left, bottom - top, right - left)
