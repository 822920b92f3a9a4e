"""A network as a model of ONNX, which other programs run without torch and without rat.

The graph takes one plane as the network sees it, of any size that is a multiple of `step`. It
enlarges the plane, divides it by its typical value where the network is equivariant, and attends
inside regions: those of a second input, or the whole plane as one.
"""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from ratcli.network import onnx_functions
from ratcli.network.attention import RegionAttention
from ratcli.network.inference import InferenceRAT
from ratcli.network.plan import grid_cells, windowed
from ratcli.network.rat import RAT, NetworkSettings, RATLayer, divisors

OPSET = 18
_MOST_STEPS = 4096
_NEVER = 1 << 60  # tokens; no region is split
_Regions = tuple[Tensor, Tensor, Tensor]
"""Tokens in the order of their regions, the place of each token in it, the regions in order."""


def step(settings: NetworkSettings) -> int:
    """Return of what the rows and columns of the graph's input must be a multiple, in pixels."""
    return settings.multiple // math.gcd(settings.multiple, settings.scale)


def make_onnx(network: RAT, *, with_regions: bool) -> bytes:
    """Return a model of ONNX, serialised.

    Its input `image` is float32 `(1, input_channels, H, W)`, as for `InferenceRAT`; its output
    `restored` is float32 `(1, C, s*H, s*W)`.

    Args:
        network: on the host; not changed.
        with_regions: whether there is a second input, `labels`, int64 `(1, s*H, s*W)`: the region
            of each output pixel. If not, the whole plane is one region.
    """
    settings, pixels = network.settings, step(network.settings)
    height, width = 3 * pixels, 2 * pixels  # any example does, if its sides differ
    rows, columns = (Dim(name, min=1, max=_MOST_STEPS) for name in ("rows", "columns"))
    inputs = {"image": torch.zeros(1, settings.input_channels, height, width)}
    shapes = {"image": {2: pixels * rows, 3: pixels * columns}}
    if with_regions:
        fine = settings.scale
        inputs["labels"] = torch.zeros(1, fine * height, fine * width, dtype=torch.int64)
        shapes["labels"] = {1: fine * pixels * rows, 2: fine * pixels * columns}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on names of axes, and of libraries among themselves
        program = torch.onnx.export(
            _Graph(network).eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=["restored"],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    return _with_functions(program.model_proto).SerializeToString()


def _with_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the bodies of `onnx_functions` in place of their calls."""
    for function in (onnx_functions.split_large, onnx_functions.attention_in_pieces):
        model.functions.append(function.to_function_proto())
    model = onnx.inliner.inline_local_functions(model)
    others = [each for each in model.opset_import if each.domain != onnx_functions.DOMAIN.domain]
    del model.opset_import[:]
    model.opset_import.extend(others)  # engines refuse a domain that they do not know
    return model


def largest_difference(model: bytes, network: RAT, *, with_regions: bool) -> float:
    """Return by how much ONNX Runtime and torch differ at most, on planes of several sizes.

    Args:
        model: what `make_onnx` returned.
        network: of which it was made.
        with_regions: as there.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    own, settings, pixels = InferenceRAT(network), network.settings, step(network.settings)
    random = np.random.default_rng(0)
    worst = 0.0
    for rows, columns in ((1, 2), (4, 3), (7, 9)):
        shape = (settings.input_channels, rows * pixels, columns * pixels)
        image: npt.NDArray[np.float32] = random.random((1, *shape), np.float32)
        labels = np.zeros((1, shape[1] * settings.scale, shape[2] * settings.scale), np.int64)
        given: dict[str, npt.NDArray[Any]] = {"image": image}
        if with_regions:
            labels[..., labels.shape[2] // 3 :] = 5
            labels[:, ::2] += random.integers(0, 9, labels[:, ::2].shape)
            given["labels"] = labels
        (restored,) = session.run(None, given)
        expected = own(torch.from_numpy(image), torch.from_numpy(labels)).numpy()
        worst = max(worst, float(np.abs(restored - expected).max()))
    return worst


class _Graph(nn.Module):
    """A network with the attention of `onnx_functions`."""

    def __init__(self, network: RAT) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        for module in self.network.modules():
            if isinstance(module, RATLayer):
                attention: nn.Module = _Attention(module.region_attention)
                module.region_attention = attention  # type: ignore[assignment]

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        settings = self.network.settings
        if settings.scale != 1:
            image = F.interpolate(
                image, scale_factor=settings.scale, mode="bilinear", align_corners=False
            )
        typical = divisors(image, settings) if settings.equivariant else None
        regions = _sorted(_keys(image, labels, settings))
        seen = image if typical is None else image / typical
        restored = self.network.restore(seen, regions)  # type: ignore[arg-type]
        return restored if typical is None else restored * typical[:, :1]


class _Attention(nn.Module):
    """R-MSA; the sorted tokens are attended by `onnx_functions.attention_in_pieces`."""

    def __init__(self, attention: RegionAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, regions: _Regions) -> Tensor:
        order, inverse, keys = regions
        qkv = self.attention.qkv(x.index_select(0, order))
        qkv = qkv.unflatten(1, (3, self.attention.heads, -1))
        attended = _call("attention_in_pieces", qkv, keys, shape=x.shape, dtype=x.dtype)
        return self.attention.project(attended).index_select(0, inverse)


def _keys(image: Tensor, labels: Tensor | None, settings: NetworkSettings) -> Tensor:
    """Return int64 `(N,)`, the region or piece of a region of each token, in window order."""
    stride, most = settings.stride, settings.max_region_tokens or _NEVER
    height, width = image.shape[2] // stride, image.shape[3] // stride
    cells = windowed(grid_cells(height, width, most)[None], settings.window).flatten()
    if labels is None:
        return cells * (torch.ones_like(cells).sum() > most)
    tokens = windowed(labels[:, ::stride, ::stride], settings.window).flatten()
    limit = torch.tensor([most])
    return _call("split_large", tokens, cells, limit, shape=cells.shape, dtype=cells.dtype)


def _sorted(keys: Tensor) -> _Regions:
    keys, order = torch.sort(keys)
    return order, torch.sort(order)[1], keys


def _call(name: str, *inputs: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Call one of `onnx_functions` in the graph."""
    function = f"{onnx_functions.DOMAIN.domain}::{name}"
    return torch.onnx.ops.symbolic(function, inputs, dtype=dtype, shape=shape, version=1)
