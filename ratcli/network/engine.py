"""The engine: a network on a device, fed with planes or tiles that fit its memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ratcli.errors import DeviceError
from ratcli.network.checkpoint import load_network
from ratcli.network.device import choose_device
from ratcli.network.rat import RAT
from ratcli.network.registry import WeightsEntry
from ratcli.regions import LabelArray
from ratcli.scan import Box, FloatArray

log = logging.getLogger(__name__)

# Whole planes with more pixels on the output's grid go in tiles even if none were asked for.
_WHOLE_PIXELS = 2048 * 2048
_DEFAULT_TILE = 1024
_SMALLEST_TILE = 64


@dataclass(frozen=True)
class EngineSettings:
    """How a network is run.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: CPU threads; 0 for torch's choice.
        precision: `fp32` or `bf16`.
        tile: side of the tiles on the output's grid; 0 for whole planes.
        tile_overlap: pixels that neighbouring tiles share.
    """

    device: str = "auto"
    threads: int = 0
    precision: str = "fp32"
    tile: int = 0
    tile_overlap: int = 64


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

    @property
    def device_name(self) -> str:
        """Name of the device: `cpu`, or what CUDA calls it."""
        if self._device.type == "cuda":
            return torch.cuda.get_device_name(self._device)
        return self._device.type

    def restore(self, plane: FloatArray, labels: LabelArray) -> FloatArray:
        """Restore one plane, whole or in tiles; on little memory in ever smaller ones.

        Args:
            plane: `(C, H, W)`, normalised.
            labels: `(s*H, s*W)`.

        Returns:
            `(C, s*H, s*W)`.

        Raises:
            DeviceError: too little memory, even for the smallest tile.
        """
        while True:
            tile = self._tile_for(labels.shape)
            try:
                return self._restore(plane, labels, tile)
            except torch.OutOfMemoryError as error:
                self._shrink(tile or max(labels.shape), error)

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
        smaller = tile // 2
        if smaller < _SMALLEST_TILE:
            raise DeviceError(
                f"{self.device_name} has too little memory for a tile of {tile} pixels",
                hint="Free its memory, or use --device cpu.",
            ) from error
        log.warning("out of memory: going on with tiles of %d pixels", smaller)
        self._tile = smaller
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _restore(self, plane: FloatArray, labels: LabelArray, tile: int) -> FloatArray:
        image = torch.from_numpy(np.ascontiguousarray(plane, np.float32))
        regions = torch.from_numpy(np.ascontiguousarray(labels))
        if not tile:
            return np.asarray(self._run(image, regions).numpy())
        scale = self._network.settings.scale
        total = torch.zeros(image.shape[0], *labels.shape)
        weight = torch.zeros(labels.shape)
        step = scale * self._network.settings.stride
        for box in tiles(labels.shape, tile, self._settings.tile_overlap, step):
            coarse = Box(*(side // scale for side in box))
            restored = self._run(_cut(image, coarse), regions[box.slices])
            fade = _fade(box, self._settings.tile_overlap, labels.shape)
            _cut(total, box).add_(restored * fade)
            weight[box.slices] += fade
        return np.asarray((total / weight).numpy())

    def _run(self, image: Tensor, labels: Tensor) -> Tensor:
        half = self._settings.precision == "bf16"
        device = self._device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
            restored = self._network(image[None].to(device), labels[None].to(device))
        return restored[0].float().cpu()


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
    return Engine(load_network(entry, device), device, settings)


def tiles(shape: tuple[int, ...], tile: int, overlap: int, step: int) -> Iterator[Box]:
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


def _fade(box: Box, overlap: int, shape: tuple[int, ...]) -> Tensor:
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
