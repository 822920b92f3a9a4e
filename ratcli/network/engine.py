"""The engine: a network on a device, fed with planes or tiles that fit its memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ratcli.errors import DeviceError
from ratcli.network.checkpoint import load_network
from ratcli.network.device import choose_device, multiply_exactly
from ratcli.network.fold import GatedConvolution, GatedTail, NormedMLP
from ratcli.network.inference import InferenceRAT
from ratcli.network.registry import WeightsEntry
from ratcli.regions import LabelArray
from ratcli.scan import Box, FloatArray

log = logging.getLogger(__name__)

# Planes with more pixels on the output's grid go in panes, each as if it were a plane.
_WHOLE_PIXELS = 2048 * 2048
_DEFAULT_PANE = 1024
_SMALLEST_TILE = 64
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# On a CPU one plane fills the cores, and more only take memory.
_BATCH = {"cuda": 8}


@dataclass(frozen=True)
class EngineSettings:
    """How a network is run.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: CPU threads; 0 for torch's choice.
        precision: `fp32` or `bf16`.
        tile: side of the tiles on the output's grid that go to the device; 0 for whole planes.
            They change the result by rounding alone; a CPU takes strips that are no larger.
        tile_overlap: pixels that neighbouring panes share.
        batch: planes that go together; 0 for the device's default.
        compile: whether torch compiles the convolution blocks and MLPs; takes a minute at first,
            and is kept on disk.
        pane: side of the panes that larger planes are cut into, each restored as if it were a
            plane, and blended; 0 for whole planes up to 2048 x 2048 pixels.
    """

    device: str = "auto"
    threads: int = 0
    precision: str = "fp32"
    tile: int = 0
    tile_overlap: int = 64
    batch: int = 0
    compile: bool = False
    pane: int = 0


class Engine:
    """A network on a device.

    Args:
        network: on the device.
        device: where it runs.
        settings: tiles, panes, and batch.
    """

    def __init__(
        self, network: InferenceRAT, device: torch.device, settings: EngineSettings
    ) -> None:
        self._network = network
        self._device = device
        self._settings = settings
        self._tile = settings.tile
        self._batch = settings.batch or _BATCH.get(device.type, 1)

    @property
    def device_name(self) -> str:
        """Name of the device: `cpu`, or what CUDA calls it."""
        if self._device.type == "cuda":
            return torch.cuda.get_device_name(self._device)
        return self._device.type

    @property
    def batch(self) -> int:
        """Planes or panes that go through the network together."""
        return self._batch

    def within(self, side: int, batch: int) -> Engine:
        """Return an engine that holds less at once.

        Args:
            side: side of the panes; 0 for whole planes.
            batch: most of them at once.
        """
        settings = replace(self._settings, pane=side, batch=min(batch, self._batch))
        return Engine(self._network, self._device, settings)

    def restore(
        self, planes: Sequence[FloatArray], labels: Sequence[LabelArray]
    ) -> list[FloatArray]:
        """Restore planes of one shape, whole or in panes; on little memory in smaller steps.

        Out of memory, the batch is halved until it is one, then the tile; later calls keep that.
        Nothing reaches the device before it is cut.

        Args:
            planes: `(C, H, W)` each, normalised.
            labels: `(s*H, s*W)` each.

        Returns:
            `(C, s*H, s*W)` each.

        Raises:
            DeviceError: too little memory, even for the smallest tile.
        """
        images = [torch.from_numpy(np.ascontiguousarray(plane, np.float32)) for plane in planes]
        regions = [torch.from_numpy(np.ascontiguousarray(label)) for label in labels]
        pane = self._pane_for(labels[0].shape)
        while True:
            try:
                restored = self._restore(images, regions, pane)
                return [np.asarray(plane.numpy()) for plane in restored]
            except torch.OutOfMemoryError as error:
                self._shrink(self._tile or pane or max(labels[0].shape), error)

    def enlarge(self, plane: FloatArray) -> FloatArray:
        """Return the plane on the output's grid, bilinear; itself where the grid stays."""
        scale = self._network.settings.scale
        if scale == 1:
            return plane
        enlarged = F.interpolate(
            torch.from_numpy(plane)[None], scale_factor=scale, mode="bilinear", align_corners=False
        )
        return np.asarray(enlarged[0].numpy())

    def _pane_for(self, shape: tuple[int, ...]) -> int:
        """Return the pane's side for a plane, 0 for all of it at once."""
        pane = self._settings.pane
        if not pane and shape[0] * shape[1] > _WHOLE_PIXELS:
            pane = _DEFAULT_PANE
        return 0 if pane >= max(shape) else pane

    def _shrink(self, tile: int, error: torch.OutOfMemoryError) -> None:
        """Take half the batch, or half the tile where the batch is one already."""
        if self._batch > 1:
            self._batch //= 2
            log.warning("out of memory: going on with %d planes at once", self._batch)
        elif tile // 2 < _SMALLEST_TILE:
            raise DeviceError(
                f"{self.device_name} has too little memory for a tile of {tile} pixels",
                hint="Free its memory, or use --device cpu.",
            ) from error
        else:
            self._tile = tile // 2
            log.warning("out of memory: going on with tiles of %d pixels", self._tile)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _restore(
        self, images: Sequence[Tensor], labels: Sequence[Tensor], pane: int
    ) -> list[Tensor]:
        if not pane:
            return self._in_batches(images, labels)
        return [
            self._in_panes(image, label, pane) for image, label in zip(images, labels, strict=True)
        ]

    def _in_batches(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> list[Tensor]:
        """Restore planes or panes; neighbours of equal shape go together."""
        done: list[Tensor] = []
        while len(done) < len(images):
            first = len(done)
            group = [
                index
                for index in range(first, min(first + self._batch, len(images)))
                if images[index].shape == images[first].shape
            ]
            batch = range(first, first + len(group))
            done += self._run(
                torch.stack([images[index] for index in batch]),
                torch.stack([labels[index] for index in batch]),
            )
        return done

    def _in_panes(self, image: Tensor, labels: Tensor, pane: int) -> Tensor:
        """Restore one plane in overlapping panes, which fade into each other."""
        settings = self._network.settings
        overlap = min(self._settings.tile_overlap, pane // 2)
        shape = (labels.shape[0], labels.shape[1])
        boxes = list(panes(shape, pane, overlap, settings.scale * settings.multiple))
        coarse = [Box(*(side // settings.scale for side in box)) for box in boxes]
        total, weight = torch.zeros(image.shape[0], *shape), torch.zeros(shape)
        restored = self._in_batches(
            [_cut(image, box) for box in coarse], [_cut(labels[None], box)[0] for box in boxes]
        )
        for box, values in zip(boxes, restored, strict=True):
            fade = _fade(box, overlap, shape)
            _cut(total, box).add_(values * fade)
            weight[box.slices] += fade
        return total / weight

    def _run(self, images: Tensor, labels: Tensor) -> list[Tensor]:
        restored: Tensor = self._network(images, labels, self._tile)
        return list(restored)


def _cut(planes: Tensor, box: Box) -> Tensor:
    rows, columns = box.slices
    return planes[:, rows, columns]


def load_engine(entry: WeightsEntry, settings: EngineSettings) -> Engine:
    """Verify weights and put their network on a device.

    Raises:
        WeightsError: damaged, or of another architecture.
        DeviceError: no such device.
    """
    device = choose_device(settings.device, settings.threads)
    if device.type == "cuda":
        multiply_exactly()
    network = InferenceRAT(load_network(entry, device), _DTYPES[settings.precision])
    if settings.compile:
        compile_blocks(network)
    return Engine(network, device, settings)


def compile_blocks(network: InferenceRAT) -> None:
    """Compile the parts whose shapes do not depend on regions; without a compiler, say so.

    Args:
        network: changed in place.
    """
    kinds = (GatedConvolution, GatedTail, NormedMLP)
    parts = [part for part in network.modules() if isinstance(part, kinds)]
    for part in parts:
        part.compile(dynamic=True)
    side, channels = network.settings.multiple, network.settings.channels
    try:
        fine = side * network.settings.scale
        network(torch.zeros(1, channels, side, side), torch.zeros(1, fine, fine, dtype=torch.int32))
    except Exception as error:
        for part in parts:
            part._compiled_call_impl = None
        reason = str(error).strip().splitlines()
        log.warning(
            "torch cannot compile here (%s): going on without", reason[0] if reason else "unknown"
        )


def panes(shape: tuple[int, int], side: int, overlap: int, step: int) -> Iterator[Box]:
    """Cover a plane with panes that overlap, row by row; the last ones end at its border.

    Args:
        shape: `(H, W)`.
        side: of a pane.
        overlap: least number of pixels that neighbours share.
        step: every pane starts at a multiple of this, so that latent grids coincide.
    """
    height, width = shape
    for top in _starts(height, side, overlap, step):
        for left in _starts(width, side, overlap, step):
            yield Box(top, left, min(side, height - top), min(side, width - left))


def _starts(length: int, side: int, overlap: int, step: int) -> list[int]:
    stride = max(step, (side - overlap) // step * step)
    starts = [0]
    while starts[-1] + side < length:
        starts.append(starts[-1] + stride)
    return starts


def _fade(box: Box, overlap: int, shape: tuple[int, int]) -> Tensor:
    """Return weights of a pane: falling linearly towards neighbours, full at the plane's border."""
    rows = _ramp(box.height, overlap, box.top == 0, box.top + box.height == shape[0])
    columns = _ramp(box.width, overlap, box.left == 0, box.left + box.width == shape[1])
    return rows[:, None] * columns[None, :]


def _ramp(length: int, overlap: int, is_first: bool, is_last: bool) -> Tensor:
    position = torch.arange(length, dtype=torch.float32)
    ramp = torch.ones(length)
    if overlap and not is_first:
        ramp = torch.minimum(ramp, (position + 1) / (overlap + 1))
    if overlap and not is_last:
        ramp = torch.minimum(ramp, (length - position) / (overlap + 1))
    return ramp
