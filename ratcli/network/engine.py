"""An engine: a network on a device, in batches and tiles that fit its memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ratcli.errors import DeviceError
from ratcli.network.checkpoint import load_network
from ratcli.network.device import choose_device, choose_precision, multiply_exactly
from ratcli.network.fold import GatedConvolution, GatedTail, NormedMLP
from ratcli.network.frame import ReflectedFrame
from ratcli.network.inference import InferenceRAT
from ratcli.network.neighbours import Neighbours, with_neighbours
from ratcli.network.registry import WeightsEntry
from ratcli.network.settings import EngineSettings, Precision
from ratcli.network.tiles import Heard, Steps, nobody
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray

log = logging.getLogger(__name__)

_SMALLEST_TILE = 64
# Of all products, and of those in the layers of attention.
DTYPES: dict[Precision, tuple[torch.dtype, torch.dtype]] = {
    "fp32": (torch.float32, torch.float32),
    "mixed": (torch.float32, torch.bfloat16),
    "bf16": (torch.bfloat16, torch.bfloat16),
}
# On a CPU one plane fills the cores, and more only take memory.
_BATCH = {"cuda": 8}


class Engine:
    """A network on a device.

    Args:
        network: on the device.
        device: where it runs.
        settings: tiles and batch.
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
    def precision(self) -> Precision:
        """The precision of the products; never `auto`."""
        return self._settings.precision

    @property
    def batch(self) -> int:
        """Planes that go through the network together."""
        return self._batch

    @property
    def context(self) -> int:
        """Neighbouring planes on each side that the network uses."""
        return self._network.settings.context

    def with_batch(self, most: int) -> Engine:
        """Return an engine of the same network that takes at most so many planes at once."""
        settings = replace(self._settings, batch=min(most, self._batch))
        return Engine(self._network, self._device, settings)

    def restore(
        self,
        planes: Sequence[FloatArray],
        labels: Sequence[LabelArray],
        heard: Heard = nobody,
    ) -> list[FloatArray]:
        """Restore planes of one shape, in batches.

        They are extended by reflection first; see `ratcli.network.frame`. Out of memory, the batch
        is halved until it is one, then the tile; later calls keep that.

        Args:
            planes: what `seen` returns, each.
            labels: `(s*H, s*W)` each.
            heard: called with the share of the work that is done.

        Returns:
            `(C, s*H, s*W)` each.

        Raises:
            DeviceError: too little memory, even for the smallest tile.
        """
        frame, images, regions = self._stacked(planes, labels)
        while True:
            parts = list(zip(images.split(self._batch), regions.split(self._batch), strict=True))
            steps, restored = Steps(len(parts), heard), []
            try:
                for part, given in parts:
                    restored.append(self._network(part, given, self._tile, steps.within))
                    steps.step(1.0)
                return [frame.cut_back(plane) for batch in restored for plane in batch.numpy()]
            except torch.OutOfMemoryError as error:
                self._take_less(self._tile or max(labels[0].shape), error)

    def _stacked(
        self, planes: Sequence[FloatArray], labels: Sequence[LabelArray]
    ) -> tuple[ReflectedFrame, Tensor, Tensor]:
        """Return planes and labels extended by reflection, and the frame around them."""
        (_, height, width), settings = planes[0].shape, self._network.settings
        frame = ReflectedFrame(height, width, settings.scale, settings.multiple)
        extended = [frame.extended(np.asarray(plane, np.float32)) for plane in planes]
        images = torch.from_numpy(np.stack(extended))
        regions = torch.from_numpy(np.stack([frame.extended_labels(each) for each in labels]))
        return frame, images, regions

    def seen(self, plane: FloatArray, neighbours: Neighbours) -> FloatArray:
        """Return a normalised plane `(C, H, W)` with those neighbours that the network uses."""
        return with_neighbours(plane, neighbours, self.context)

    def enlarge(self, plane: FloatArray) -> FloatArray:
        """Return the plane on the output's grid, bilinear; the plane itself if the grid stays."""
        scale = self._network.settings.scale
        if scale == 1:
            return plane
        enlarged = F.interpolate(
            torch.from_numpy(plane)[None], scale_factor=scale, mode="bilinear", align_corners=False
        )
        return np.asarray(enlarged[0].numpy())

    def _take_less(self, tile: int, error: torch.OutOfMemoryError) -> None:
        """Halve the batch, or the tile if the batch is one already."""
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


def load_engine(entry: WeightsEntry, settings: EngineSettings) -> Engine:
    """Verify weights and put their network on a device.

    Raises:
        WeightsError: damaged, or of another architecture.
        DeviceError: no such device.
    """
    device = choose_device(settings.device, settings.threads)
    if device.type == "cuda":
        multiply_exactly()
    settings = replace(settings, precision=choose_precision(settings.precision, device))
    network = InferenceRAT(load_network(entry, device), *DTYPES[settings.precision])
    if settings.compile:
        compile_blocks(network)
    return Engine(network, device, settings)


def compile_blocks(network: InferenceRAT) -> None:
    """Compile the parts whose shapes do not depend on regions; warn if there is no compiler.

    Args:
        network: changed in place.
    """
    kinds = (GatedConvolution, GatedTail, NormedMLP)
    parts = [part for part in network.modules() if isinstance(part, kinds)]
    for part in parts:
        part.compile(dynamic=True)
    side, channels = network.settings.multiple, network.settings.input_channels
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
