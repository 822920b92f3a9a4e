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
from ratcli.network.device import choose_device
from ratcli.network.nafblock import NAFBlock
from ratcli.network.rat import MLP, RAT
from ratcli.network.registry import WeightsEntry
from ratcli.regions import LabelArray
from ratcli.scan import Box, FloatArray

log = logging.getLogger(__name__)

# Whole planes with more pixels on the output's grid go in tiles even if none were asked for.
_WHOLE_PIXELS = 2048 * 2048
_DEFAULT_TILE = 1024
_SMALLEST_TILE = 64
# On a CPU one plane fills the cores, and more only take memory.
_BATCH = {"cuda": 8}


@dataclass(frozen=True)
class EngineSettings:
    """How a network is run.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: CPU threads; 0 for torch's choice.
        precision: `fp32` or `bf16`.
        tile: side of the tiles on the output's grid; 0 for whole planes.
        tile_overlap: pixels that neighbouring tiles share.
        batch: planes or tiles that go together; 0 for the device's default.
        compile: whether torch compiles the convolution blocks and MLPs; takes a minute at first,
            and is kept on disk.
    """

    device: str = "auto"
    threads: int = 0
    precision: str = "fp32"
    tile: int = 0
    tile_overlap: int = 64
    batch: int = 0
    compile: bool = False


class Engine:
    """A network on a device.

    Args:
        network: in inference mode, on the device.
        device: where it runs.
        settings: precision and tiles.
    """

    def __init__(self, network: RAT, device: torch.device, settings: EngineSettings) -> None:
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
        """Planes or tiles that go through the network together."""
        return self._batch

    def within(self, tile: int, batch: int) -> Engine:
        """Return an engine of the same network with other tiles, and at most so many at once."""
        most = min(batch, self._batch)
        return Engine(self._network, self._device, replace(self._settings, tile=tile, batch=most))

    def restore(
        self, planes: Sequence[FloatArray], labels: Sequence[LabelArray]
    ) -> list[FloatArray]:
        """Restore planes of one shape, whole or in tiles; on little memory in smaller steps.

        Out of memory, the batch is halved until it is one, then the tile; later calls keep that.

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
        while True:
            tile = self._tile_for(labels[0].shape)
            try:
                restored = self._restore(images, regions, tile)
                return [np.asarray(plane.numpy()) for plane in restored]
            except torch.OutOfMemoryError as error:
                self._shrink(tile or max(labels[0].shape), error)

    def enlarge(self, plane: FloatArray) -> FloatArray:
        """Return the plane on the output's grid, bilinear; itself where the grid stays."""
        scale = self._network.settings.scale
        if scale == 1:
            return plane
        enlarged = F.interpolate(
            torch.from_numpy(plane)[None], scale_factor=scale, mode="bilinear", align_corners=False
        )
        return np.asarray(enlarged[0].numpy())

    def _tile_for(self, shape: tuple[int, ...]) -> int:
        """Return the tile's side for a plane, 0 for all of it at once."""
        tile = self._tile
        if not tile and shape[0] * shape[1] > _WHOLE_PIXELS:
            tile = _DEFAULT_TILE
        return 0 if tile >= max(shape) else tile

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
        self, images: Sequence[Tensor], labels: Sequence[Tensor], tile: int
    ) -> list[Tensor]:
        if not tile:
            return self._in_batches(images, labels)
        return [
            self._in_tiles(image, label, tile) for image, label in zip(images, labels, strict=True)
        ]

    def _in_batches(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> list[Tensor]:
        """Restore planes or tiles; neighbours of equal shape go together."""
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

    def _in_tiles(self, image: Tensor, labels: Tensor, tile: int) -> Tensor:
        """Restore one plane in overlapping tiles; nothing larger reaches the device."""
        network, overlap = self._network.settings, self._settings.tile_overlap
        shape = (labels.shape[0], labels.shape[1])
        boxes = list(tiles(shape, tile, min(overlap, tile // 2), network.scale * network.multiple))
        coarse = [Box(*(side // network.scale for side in box)) for box in boxes]
        total, weight = torch.zeros(image.shape[0], *shape), torch.zeros(shape)
        restored = self._in_batches(
            [_cut(image, box) for box in coarse], [_cut(labels[None], box)[0] for box in boxes]
        )
        for box, values in zip(boxes, restored, strict=True):
            fade = _fade(box, min(overlap, tile // 2), shape)
            _cut(total, box).add_(values * fade)
            weight[box.slices] += fade
        return total / weight

    def _run(self, images: Tensor, labels: Tensor) -> list[Tensor]:
        half = self._settings.precision == "bf16"
        device = self._device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
            restored = self._network(images.to(device), labels.to(device))
        return list(restored.float().cpu())


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
    network = load_network(entry, device)
    if settings.compile:
        compile_blocks(network, device)
    return Engine(network, device, settings)


def compile_blocks(network: RAT, device: torch.device) -> None:
    """Compile the parts whose shapes do not depend on regions; without a compiler, say so.

    Args:
        network: changed in place.
        device: where it runs.
    """
    parts = [part for part in network.modules() if isinstance(part, (NAFBlock, MLP))]
    for part in parts:
        part.compile(dynamic=True)
    side, channels = network.settings.multiple, network.settings.channels
    try:
        with torch.inference_mode():
            image = torch.zeros(1, channels, side, side, device=device)
            fine = side * network.settings.scale
            network(image, torch.zeros(1, fine, fine, dtype=torch.int32, device=device))
    except Exception as error:
        for part in parts:
            part._compiled_call_impl = None
        reason = str(error).strip().splitlines()
        log.warning(
            "torch cannot compile here (%s): going on without", reason[0] if reason else "unknown"
        )


def tiles(shape: tuple[int, int], tile: int, overlap: int, step: int) -> Iterator[Box]:
    """Cover a plane with tiles that overlap, row by row; the last ones end at its border.

    Args:
        shape: `(H, W)`.
        tile: side of a tile.
        overlap: least number of pixels that neighbours share.
        step: every tile starts at a multiple of this, so that latent grids coincide.
    """
    height, width = shape
    for top in _starts(height, tile, overlap, step):
        for left in _starts(width, tile, overlap, step):
            yield Box(top, left, min(tile, height - top), min(tile, width - left))


def _starts(length: int, tile: int, overlap: int, step: int) -> list[int]:
    stride = max(step, (tile - overlap) // step * step)
    starts = [0]
    while starts[-1] + tile < length:
        starts.append(starts[-1] + stride)
    return starts


def _fade(box: Box, overlap: int, shape: tuple[int, int]) -> Tensor:
    """Return weights of a tile: falling linearly towards neighbours, full at the plane's border."""
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
