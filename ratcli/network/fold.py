"""Parts of the network as they run when nothing is learned: norms, gates and skips folded.

A layer norm's weight and bias go into the linear map behind it, a gate into the one before it.
Every part takes maps with the channels last, `(B, H, W, C)`, or tokens `(N, C)`; sums are kept in
float32, products run in the dtype of the part's own weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ratcli.network.nafblock import LAYER_NORM_EPS, ChannelNorm, NAFBlock
from ratcli.network.rat import MLP

_Kind = TypeVar("_Kind", bound=nn.Module)


class GatedConvolution(nn.Module):
    """A NAF block up to its channel attention: norm, 1x1, depthwise 3x3, gate.

    Args:
        block: the block it is made of.
    """

    def __init__(self, block: NAFBlock) -> None:
        super().__init__()
        self.expand = after_norm(block.norm1, block.conv1)
        self.spread = convolution(block.conv2)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of what it returns."""
        return self.expand.weight.dtype

    def forward(self, x: Tensor, rows: slice, columns: slice) -> Tensor:
        """Map some rows and columns of `(B, H, W, C)`; zeros lie beyond the border."""
        y = self.expand(normed(x, self.dtype))
        y = self.spread(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return gate(y[:, rows, columns])


class GatedTail(nn.Module):
    """A NAF block from its channel attention on: 1x1, skip, norm, 1x1, gate, 1x1, skip.

    Args:
        block: the block it is made of.
    """

    def __init__(self, block: NAFBlock) -> None:
        super().__init__()
        self.attention = linear(block.channel_attention.weight, block.channel_attention.bias)
        self.mix = before_gate(block.conv3, block.beta)
        self.expand = after_norm(block.norm2, block.conv4)
        self.contract = before_gate(block.conv5, block.gamma)

    def forward(self, x: Tensor, y: Tensor, mean: Tensor) -> Tensor:
        """Change x in place and return it.

        Args:
            x: float32 `(B, H, W, C)`, what the block was given.
            y: `(B, H, W, C)` of the block's first part.
            mean: `(B, C)`, mean of y over the whole plane.
        """
        attention = self.attention(mean.to(y.dtype))[:, None]  # (B,1,C)
        accumulate(x, y, self.mix.weight * attention, self.mix.bias)
        y = gate(self.expand(normed(x, y.dtype)))
        accumulate(x, y, self.contract.weight, self.contract.bias)
        return x


class NormedMLP(nn.Module):
    """A norm and an MLP.

    Args:
        norm: the norm before it.
        mlp: the MLP.
    """

    def __init__(self, norm: nn.LayerNorm, mlp: MLP) -> None:
        super().__init__()
        self.expand = after_norm(norm, mlp.expand)
        self.contract = linear(mlp.contract.weight, mlp.contract.bias)

    def forward(self, x: Tensor) -> None:
        """Add to `(N, C)` float32 in place."""
        inner = F.gelu(self.expand(normed(x, self.expand.weight.dtype)))
        accumulate(x, inner, self.contract.weight, self.contract.bias)


def normed(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Normalise the last axis; weight and bias are folded into what follows."""
    return F.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPS).to(dtype)


def accumulate(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Add a linear map of y to x, in place.

    Args:
        x: float32 `(..., O)`.
        y: `(..., I)`.
        weight: `(O, I)`, or `(B, O, I)` for each plane its own.
        bias: `(O,)`.
    """
    if x.dtype != y.dtype or not x.is_contiguous():
        y = y.flatten(1, -2) if weight.ndim == 3 else y
        x += (y @ weight.mT + bias).view_as(x)
    elif weight.ndim == 3:
        x.flatten(1, -2).baddbmm_(y.flatten(1, -2), weight.mT)
        x += bias
    else:
        x.flatten(0, -2).addmm_(y.flatten(0, -2), weight.mT)
        x += bias


def gate(y: Tensor) -> Tensor:
    """Multiply the two halves of the last axis."""
    half = y.shape[-1] // 2
    return y[..., :half] * y[..., half:]


def after_norm(norm: nn.LayerNorm | ChannelNorm, layer: nn.Linear | nn.Conv2d) -> nn.Linear:
    """Return a linear or 1x1 layer that takes in the norm's weight and bias."""
    weight = exact(layer.weight).flatten(1)
    bias = weight @ exact(norm.bias)
    if layer.bias is not None:
        bias = bias + exact(layer.bias)
    return linear(weight * exact(norm.weight), bias)


def before_gate(
    layer: nn.Linear | nn.Conv2d, factor: Tensor, shift: Tensor | None = None
) -> nn.Linear:
    """Return a linear or 1x1 layer whose output is multiplied by a factor for each channel.

    Args:
        layer: the layer.
        factor: one for each of its outputs.
        shift: what its input lacks, one for each input.
    """
    assert layer.bias is not None
    factor = exact(factor).flatten()
    weight = exact(layer.weight).flatten(1) * factor[:, None]
    bias = exact(layer.bias) * factor
    return linear(weight, bias if shift is None else bias + weight @ exact(shift))


def exact(parameter: Tensor) -> Tensor:
    """Return a parameter in float64 on the host; not every device has float64."""
    return parameter.detach().cpu().double()


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Make a linear layer of a weight `(O, I)` or `(O, I, 1, 1)`, in float32, without gradients."""
    weight = weight.detach().flatten(1).float()
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().float().clone(), requires_grad=False)
    return layer


def convolution(layer: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution of the same parameters, channels last, without gradients."""
    twin = copy.deepcopy(layer).requires_grad_(False)
    return twin.to(memory_format=torch.channels_last)


def shuffling(layer: nn.Conv2d) -> nn.Linear:
    """Return a 1x1 convolution before a pixel shuffle by 2 as a linear layer.

    Its outputs are ordered as row, column, channel in place of channel, row, column.
    """
    weight = layer.weight.detach().flatten(1).unflatten(0, (-1, 4))
    return linear(weight.transpose(0, 1).flatten(0, 1), None)


def each(modules: nn.Module, kind: type[_Kind]) -> Iterator[_Kind]:
    """Yield what a container holds, all of one kind."""
    for module in modules.children():
        assert isinstance(module, kind)
        yield module
