"""The Region Attention Transformer: a U of NAF blocks around layers of region attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from ratcli.network.attention import (
    RegionAttention,
    WindowAttention,
    from_windows,
    to_windows,
)
from ratcli.network.fusion import NeighbourFusion
from ratcli.network.nafblock import LAYER_NORM_EPS, NAFBlock
from ratcli.network.neighbours import added, input_channels, output_channels
from ratcli.network.plan import RegionPlan, make_plan
from ratcli.network.tiles import pad_to_multiple

_LEAST_VALUE = 1e-9

# Layers of each level or group. The published networks are far inside all bounds.
_Counts = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=64)], ...], Meta(min_length=1, max_length=16)
]


@dataclass(frozen=True)
class NetworkSettings:
    """Shape of a network; stored beside its weights.

    Attributes:
        channels: channels of the image.
        width: channels after the first convolution; doubled at each level.
        encoder_blocks: NAF blocks of each level, finest first.
        decoder_blocks: NAF blocks of each level, coarsest first.
        groups: RAT layers of each group; a group ends with a convolution and a skip.
        heads: attention heads.
        window: side of the attention windows on the latent grid.
        mlp_ratio: inner width of the MLPs over the token width.
        scale: output pixels for each input pixel and axis.
        equivariant: planes are divided by their typical value before the network, and multiplied
            by it after, so that twice the input gives twice the output; for images of any unit
            and dynamic range (PET).
        max_region_tokens: regions larger than this on the latent grid are split along a grid; 0
            never splits. The default leaves every plane of up to 1024 x 1024 pixels whole.
        context: neighbouring planes on each side that the network sees, see
            `ratcli.network.neighbours`; only for networks that keep the grid.
        fused: neighbours are averaged into the plane before the network, see
            `ratcli.network.fusion`; else the network returns a share of each.
    """

    channels: Annotated[int, Meta(ge=1, le=16)] = 1
    width: Annotated[int, Meta(ge=1, le=1024)] = 64
    encoder_blocks: _Counts = (2, 4)
    decoder_blocks: _Counts = (4, 2)
    groups: _Counts = (3, 3, 3, 3)
    heads: Annotated[int, Meta(ge=1, le=64)] = 8
    window: Annotated[int, Meta(ge=1, le=64)] = 4
    mlp_ratio: Annotated[float, Meta(ge=0.125, le=16)] = 2.0
    scale: Annotated[int, Meta(ge=1, le=8)] = 1
    max_region_tokens: Annotated[int, Meta(ge=0, le=1 << 31)] = 65536
    equivariant: bool = False
    context: Annotated[int, Meta(ge=0, le=2)] = 0
    fused: bool = False

    def __post_init__(self) -> None:
        """Refuse settings of which no network can be built.

        Raises:
            ValueError: levels, neighbours or heads do not fit the rest.
        """
        if len(self.encoder_blocks) != len(self.decoder_blocks):
            raise ValueError("encoder_blocks and decoder_blocks must be equally long")
        if self.context and self.scale != 1:
            raise ValueError("a network that makes a finer grid cannot use neighbouring planes")
        if self.fused and not self.context:
            raise ValueError("there are no neighbours to be fused: context is 0")
        if self.width * self.stride % self.heads:
            channels = self.width * self.stride
            raise ValueError(f"{channels} channels cannot be divided between {self.heads} heads")

    @property
    def input_channels(self) -> int:
        """Channels of the input: the plane's own and those of its neighbours."""
        return input_channels(self.channels, self.context)

    @property
    def output_channels(self) -> int:
        """Channels that the last layer returns: the change, and the share of each neighbour."""
        return output_channels(self.channels, 0 if self.fused else self.context)

    @property
    def stride(self) -> int:
        """Pixels for each token and axis."""
        return 2 ** len(self.encoder_blocks)

    @property
    def multiple(self) -> int:
        """Height and width are padded to a multiple of this."""
        return self.stride * self.window


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, int(channels * ratio))
        self.contract = nn.Linear(int(channels * ratio), channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C)` to the same shape."""
        return self.contract(F.gelu(self.expand(x)))


class RATLayer(nn.Module):
    """R-MSA, MLP, W-MSA, MLP, each after a layer norm and around a skip.

    The attentions carry a learned gate for each channel that starts at zero.
    """

    def __init__(self, channels: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.region_norm = nn.LayerNorm(channels, LAYER_NORM_EPS)
        self.region_attention = RegionAttention(channels, settings.heads)
        self.region_gate = nn.Parameter(torch.zeros(channels))
        self.region_mlp_norm = nn.LayerNorm(channels, LAYER_NORM_EPS)
        self.region_mlp = MLP(channels, settings.mlp_ratio)
        self.window_norm = nn.LayerNorm(channels, LAYER_NORM_EPS)
        self.window_attention = WindowAttention(channels, settings.heads, settings.window)
        self.window_gate = nn.Parameter(torch.zeros(channels))
        self.window_mlp_norm = nn.LayerNorm(channels, LAYER_NORM_EPS)
        self.window_mlp = MLP(channels, settings.mlp_ratio)

    def forward(self, x: Tensor, plan: RegionPlan) -> Tensor:
        """Map `(N, C)` tokens in window order to the same shape and order."""
        x = x + self.region_attention(self.region_norm(x), plan) * self.region_gate
        x = x + self.region_mlp(self.region_mlp_norm(x))
        x = x + self.window_attention(self.window_norm(x)) * self.window_gate
        return x + self.window_mlp(self.window_mlp_norm(x))


class RATGroup(nn.Module):
    """A few RAT layers, a 3x3 convolution, and a skip around all of it."""

    def __init__(self, channels: int, layers: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.window = settings.window
        self.layers = nn.ModuleList(RATLayer(channels, settings) for _ in range(layers))
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, plan: RegionPlan) -> Tensor:
        """Map `(B, C, h, w)` to the same shape."""
        batch, _, height, width = x.shape
        tokens = to_windows(x.permute(0, 2, 3, 1), self.window)
        for layer in self.layers:
            tokens = layer(tokens, plan)
        grid = from_windows(tokens, (batch, height, width), self.window)
        return x + self.conv(grid.permute(0, 3, 1, 2))


class RAT(nn.Module):
    """Region Attention Transformer.

    Args:
        settings: shape of the network.

    Source: Yang et al., Region Attention Transformer for Medical Image Restoration, MICCAI 2024.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        levels = len(settings.encoder_blocks)
        widths = [settings.width * 2**level for level in range(levels + 1)]
        taken, returned = settings.input_channels, settings.output_channels
        if settings.fused:
            self.fusion = NeighbourFusion(settings.channels, settings.context)
            taken = settings.channels
        self.intro = nn.Conv2d(taken, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(
            nn.Sequential(*(NAFBlock(widths[level]) for _ in range(count)))
            for level, count in enumerate(settings.encoder_blocks)
        )
        self.downs = nn.ModuleList(
            nn.Conv2d(widths[level], widths[level + 1], 2, stride=2) for level in range(levels)
        )
        self.groups = nn.ModuleList(
            RATGroup(widths[-1], layers, settings) for layers in settings.groups
        )
        self.ups = nn.ModuleList(
            nn.Conv2d(widths[level + 1], 4 * widths[level], 1, bias=False)
            for level in reversed(range(levels))
        )
        self.decoders = nn.ModuleList(
            nn.Sequential(*(NAFBlock(widths[level]) for _ in range(count)))
            for level, count in zip(reversed(range(levels)), settings.decoder_blocks, strict=True)
        )
        self.ending = nn.Conv2d(widths[0], returned, 3, padding=1)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, labels: Tensor) -> Tensor:
        """Restore planes.

        Args:
            image: `(B, C, H, W)`, normalised; with `context`, `(B, input_channels, H, W)`.
            labels: integers `(B, s*H, s*W)`, the region of each output pixel.

        Returns:
            `(B, C, s*H, s*W)`.

        Raises:
            ValueError: labels are not on the output's grid.
        """
        scale = self.settings.scale
        if scale != 1:
            image = F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)
        height, width = image.shape[-2:]
        if labels.shape != (image.shape[0], height, width):
            raise ValueError(f"labels are {tuple(labels.shape)}, the output {tuple(image.shape)}")
        typical = divisors(image, self.settings) if self.settings.equivariant else None
        image, labels = pad_to_multiple(image, labels, self.settings.multiple)
        stride = self.settings.stride
        plan = make_plan(
            labels[:, ::stride, ::stride], self.settings.window, self.settings.max_region_tokens
        )
        restored = self.restore(image if typical is None else image / typical, plan)
        restored = restored[..., :height, :width]
        return restored if typical is None else restored.float() * typical[:, :1]

    def restore(self, image: Tensor, plan: RegionPlan) -> Tensor:
        """Restore planes that need no padding, with a plan made before.

        Args:
            image: `(B, input_channels, H, W)` at the output's size; H and W are multiples of
                `settings.multiple`.
            plan: regions on the latent grid.
        """
        if self.settings.fused:
            image = self.fusion(image)
        x = self.intro(image.contiguous(memory_format=torch.channels_last))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        shallow = x
        for group in self.groups:
            x = group(x, plan)
        x = x + shallow
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = F.pixel_shuffle(up(x), 2) + skips.pop()
            x = decoder(x.contiguous(memory_format=torch.channels_last))
        return added(image, self.ending(x), self.settings.channels, axis=1)


def typical_value(image: Tensor) -> Tensor:
    """Return `(sum |x| / sum sqrt|x|)^2` of each plane, `(B, 1, 1, 1)`, above 0.

    Empty surroundings do not change it, and a few hot spots change it little, because values are
    weighted by their square roots.

    Args:
        image: `(B, C, H, W)`.
    """
    size = image.float().abs()
    total, roots = size.sum((1, 2, 3), keepdim=True), size.sqrt().sum((1, 2, 3), keepdim=True)
    value = (total / roots.clamp_min(torch.finfo(torch.float32).tiny)).square()
    return value.clamp_min(_LEAST_VALUE)


def divisors(image: Tensor, settings: NetworkSettings) -> Tensor:
    """Return what the channels of an equivariant network are divided by, `(B, channels, 1, 1)`.

    It is the typical value of the plane; 1 for the channels that hold the nearness of neighbours.

    Args:
        image: `(B, input_channels, H, W)`.
        settings: of the network.
    """
    typical = typical_value(image[:, : settings.channels])
    if not settings.context:
        return typical
    values = output_channels(settings.channels, settings.context)
    ones = torch.ones_like(typical).expand(-1, settings.input_channels - values, 1, 1)
    return torch.cat((typical.expand(-1, values, 1, 1), ones), 1)
