"""The published formulation, for comparison: a mask and logits of N x N for every head.

Takes a network of rat and computes the same result in the dense way, in the usual memory layout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ratcli.network.nafblock import LAYER_NORM_EPS, NAFBlock
from ratcli.network.rat import RAT, RATLayer


class DenseRAT(nn.Module):
    """The network as published.

    Args:
        network: whose parameters are used.
        heads_at_once: logits of all heads in one tensor, or one head after the other.
    """

    def __init__(self, network: RAT, heads_at_once: bool) -> None:
        super().__init__()
        self.network = network
        self.heads_at_once = heads_at_once

    def forward(self, image: Tensor, labels: Tensor) -> Tensor:
        """Restore `(B, C, H, W)`; sides are multiples of 16."""
        network = self.network
        image = image.contiguous()
        latent = labels[:, ::4, ::4].flatten(1)
        mask = torch.where(latent[:, :, None] == latent[:, None, :], 0.0, -1000.0)
        x = network.intro(image).contiguous()
        skips = []
        for encoder, down in zip(network.encoders, network.downs, strict=True):
            for block in encoder:
                x = naf(block, x)
            skips.append(x)
            x = down(x).contiguous()
        shallow = x
        for group in network.groups:
            y = x
            for layer in group.layers:
                y = self.layer(layer, y, mask)
            x = x + group.conv(y).contiguous()
        x = x + shallow
        for up, decoder in zip(network.ups, network.decoders, strict=True):
            x = F.pixel_shuffle(up(x), 2).contiguous() + skips.pop()
            for block in decoder:
                x = naf(block, x)
        return image + network.ending(x)

    def layer(self, layer: RATLayer, x: Tensor, mask: Tensor) -> Tensor:
        """R-MSA, MLP, W-MSA, MLP over `(B, C, h, w)`."""
        gate = layer.region_gate.view(1, -1, 1, 1)
        x = x + gate * self.region_attention(
            layer.region_attention, norm(layer.region_norm, x), mask
        )
        x = x + mlp(layer.region_mlp, norm(layer.region_mlp_norm, x))
        gate = layer.window_gate.view(1, -1, 1, 1)
        x = x + gate * window_attention(layer.window_attention, norm(layer.window_norm, x))
        return x + mlp(layer.window_mlp, norm(layer.window_mlp_norm, x))

    def region_attention(self, module: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
        """Every token against every other; the mask leaves those of its region."""
        batch, channels, height, width = x.shape
        heads = module.heads
        qkv = pointwise(module.qkv, x).view(batch, 3, heads, channels // heads, height * width)
        q, k, v = qkv.unbind(1)
        if self.heads_at_once:
            logits = q.mT @ k * heads**-0.5 + mask[:, None]
            out = (logits.softmax(-1) @ v.mT).mT
        else:
            out = torch.empty_like(q)
            for head in range(heads):
                logits = q[:, head].mT @ k[:, head] * heads**-0.5 + mask
                out[:, head] = (logits.softmax(-1) @ v[:, head].mT).mT
        return pointwise(module.project, out.reshape(batch, channels, height, width))


def window_attention(module: nn.Module, x: Tensor) -> Tensor:
    """Attention in 4x4 windows."""
    batch, channels, height, width = x.shape
    heads = module.heads
    windows = x.view(batch, channels, height // 4, 4, width // 4, 4)
    windows = windows.permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, channels)
    qkv = module.qkv(windows).view(-1, 16, 3, heads, channels // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    out = ((q @ k.mT) * heads**-0.5).softmax(-1) @ v
    out = module.project(out.transpose(1, 2).reshape(-1, 16, channels))
    out = out.view(batch, height // 4, width // 4, 4, 4, channels)
    return out.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, height, width)


def naf(block: NAFBlock, x: Tensor) -> Tensor:
    """A NAF block with the layer norm spelled out."""
    y = block.conv2(block.conv1(layer_norm(x, block.norm1.weight, block.norm1.bias)))
    first, second = y.chunk(2, dim=1)
    y = first * second
    y = y * block.channel_attention(F.adaptive_avg_pool2d(y, 1))
    x = x + block.conv3(y) * block.beta
    y = block.conv4(layer_norm(x, block.norm2.weight, block.norm2.bias))
    first, second = y.chunk(2, dim=1)
    return x + block.conv5(first * second) * block.gamma


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalise over channels of `(B, C, H, W)`, step by step."""
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    y = (x - mean) / (variance + LAYER_NORM_EPS).sqrt()
    return weight.view(1, -1, 1, 1) * y + bias.view(1, -1, 1, 1)


def norm(module: nn.LayerNorm, x: Tensor) -> Tensor:
    """Apply a token norm to `(B, C, h, w)`."""
    return layer_norm(x, module.weight, module.bias)


def pointwise(module: nn.Linear, x: Tensor) -> Tensor:
    """Apply a linear layer as a 1x1 convolution."""
    return F.conv2d(x, module.weight[:, :, None, None], module.bias)


def mlp(module: nn.Module, x: Tensor) -> Tensor:
    """Apply an MLP as two 1x1 convolutions."""
    return pointwise(module.contract, F.gelu(pointwise(module.expand, x)))
