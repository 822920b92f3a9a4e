"""The convolution block of the encoder and decoder (NAFNet)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYER_NORM_EPS = 1e-6


class ChannelNorm(nn.Module):
    """Layer norm over the channels of `(B, C, H, W)`; fast on channels-last memory."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each pixel over its channels."""
        pixels = x.permute(0, 2, 3, 1)  # (B,C,H,W) -> (B,H,W,C), a view of channels-last memory
        pixels = F.layer_norm(pixels, self.weight.shape, self.weight, self.bias, LAYER_NORM_EPS)
        return pixels.permute(0, 3, 1, 2)


def simple_gate(x: Tensor) -> Tensor:
    """Multiply the two halves of the channels."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """A convolution block with gates in place of activations.

    Args:
        channels: width; the inner width is twice as much.

    Source: Chen et al., Simple Baselines for Image Restoration, ECCV 2022.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = 2 * channels
        self.norm1 = ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.channel_attention = nn.Conv2d(channels, channels, 1)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.norm2 = ChannelNorm(channels)
        self.conv4 = nn.Conv2d(channels, inner, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to the same shape."""
        y = simple_gate(self.conv2(self.conv1(self.norm1(x))))
        y = y * self.channel_attention(y.mean((2, 3), keepdim=True))
        x = x + self.conv3(y) * self.beta
        y = simple_gate(self.conv4(self.norm2(x)))
        return x + self.conv5(y) * self.gamma
