"""The network as it restores: convolutions tile by tile, attention over whole planes.

What a pixel becomes depends on its neighbours through convolutions, on the whole plane through the
means of the channel attention, and on its region. Tiles (`ratcli.network.tiles`) change the result
by rounding alone: each is read with the pixels next to it, the means are taken over the whole plane
before any tile goes on, and the latent grid, a sixteenth of the plane, is never cut.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ratcli.network.attention import (
    from_windows,
    region_attention,
    to_windows,
    window_attention,
)
from ratcli.network.fold import (
    GatedConvolution,
    GatedTail,
    NormedMLP,
    accumulate,
    after_norm,
    before_gate,
    convolution,
    each,
    normed,
    shuffling,
)
from ratcli.network.fusion import fused_by_rows
from ratcli.network.nafblock import NAFBlock
from ratcli.network.neighbours import added
from ratcli.network.plan import RegionPlan, make_plan
from ratcli.network.rat import RAT, RATGroup, RATLayer, divisors
from ratcli.network.tiles import Heard, Steps, Tiles, nobody, pad_to_multiple, token_tiles
from ratcli.scan import Box


class FoldedRegionAttention(nn.Module):
    """R-MSA with the norm before it and the gate behind it.

    Weights of a region sum to one, so that the bias of the values may wait for the projection; that
    of the keys adds the same to all logits of a query, and changes nothing.

    Args:
        layer: the layer it is made of.
    """

    def __init__(self, layer: RATLayer) -> None:
        super().__init__()
        attention = layer.region_attention
        self.heads = attention.heads
        self.qkv = after_norm(layer.region_norm, attention.qkv)
        values = self.qkv.bias.view(3, -1)[2].clone()
        self.qkv.bias.view(3, -1)[1:] = 0
        self.project = before_gate(attention.project, layer.region_gate, values)

    def attend(self, x: Tensor, plan: RegionPlan) -> Tensor:
        """Return `(N, C)` in sorted order, not yet projected, of tokens in window order."""
        dtype = self.qkv.weight.dtype
        if x.device.type != "cpu":
            qkv = self.qkv(normed(x.index_select(0, plan.order), dtype))
            return region_attention(qkv.unflatten(-1, (3, self.heads, -1)), plan)
        weights = self.qkv.weight.unflatten(0, (3 * self.heads, -1)).mT
        qkv = x.new_empty(len(weights), len(x), weights.shape[-1], dtype=dtype)
        for part in token_tiles(x):
            tokens = normed(x.index_select(0, plan.order[part]), dtype)
            for head, weight in enumerate(weights):
                torch.mm(tokens, weight, out=qkv[head, part])
        queries = qkv[: self.heads]
        queries += self.qkv.bias.view(len(weights), 1, -1)[: self.heads]
        return region_attention(qkv.unflatten(0, (3, -1)).permute(2, 0, 1, 3), plan)


class FoldedLayer(nn.Module):
    """R-MSA, MLP, W-MSA, MLP, changing the tokens in place.

    Args:
        layer: the layer it is made of.
    """

    def __init__(self, layer: RATLayer) -> None:
        super().__init__()
        window = layer.window_attention
        self.heads, self.window_tokens = window.heads, window.tokens
        self.region = FoldedRegionAttention(layer)
        self.region_mlp = NormedMLP(layer.region_mlp_norm, layer.region_mlp)
        self.window_qkv = after_norm(layer.window_norm, window.qkv)
        self.window_project = before_gate(window.project, layer.window_gate)
        self.window_mlp = NormedMLP(layer.window_mlp_norm, layer.window_mlp)

    def forward(self, x: Tensor, plan: RegionPlan) -> None:
        """Change `(N, C)` float32 tokens in window order."""
        attended = self.region.attend(x, plan)
        for part in token_tiles(x):
            tokens = x[part]
            out = attended.index_select(0, plan.inverse[part])
            accumulate(tokens, out, self.region.project.weight, self.region.project.bias)
            self.region_mlp(tokens)
            self._in_windows(tokens)
            self.window_mlp(tokens)

    def _in_windows(self, x: Tensor) -> None:
        qkv = self.window_qkv(normed(x, self.window_qkv.weight.dtype))
        out = window_attention(qkv, self.window_tokens, self.heads)
        accumulate(x, out, self.window_project.weight, self.window_project.bias)


class FoldedGroup(nn.Module):
    """A few layers, a 3x3 convolution, and a skip around all of it.

    Args:
        group: the group it is made of.
    """

    def __init__(self, group: RATGroup) -> None:
        super().__init__()
        self.window = group.window
        self.layers = nn.ModuleList(FoldedLayer(layer) for layer in each(group.layers, RATLayer))
        self.conv = convolution(group.conv)

    def forward(self, x: Tensor, plan: RegionPlan, heard: Heard) -> Tensor:
        """Map float32 `(B, h, w, C)` to the same shape; each layer is heard."""
        batch, height, width, _ = x.shape
        tokens = to_windows(x, self.window)
        if tokens.data_ptr() == x.data_ptr():  # one window, or a row of windows of one row
            tokens = tokens.clone()
        for layer in self.layers:
            layer(tokens, plan)
            heard(1.0)
        y = _convolved(self.conv, from_windows(tokens, (batch, height, width), self.window))
        return x + y


class InferenceRAT(nn.Module):
    """A network for restoring only: the numbers of `RAT`, sooner and in less memory.

    Args:
        network: whose parameters are taken, and its device.
        dtype: of the products; sums stay in float32.
        attention_dtype: of those in the layers of attention, where rounding hardly shows: what
            they add to a plane is small. None for the same.
    """

    def __init__(
        self,
        network: RAT,
        dtype: torch.dtype = torch.float32,
        attention_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.settings = network.settings
        self.intro = convolution(network.intro)
        self.encoders = nn.ModuleList(_folded(blocks) for blocks in network.encoders)
        self.downs = nn.ModuleList(convolution(down) for down in each(network.downs, nn.Conv2d))
        self.groups = nn.ModuleList(FoldedGroup(group) for group in each(network.groups, RATGroup))
        self.ups = nn.ModuleList(shuffling(up) for up in each(network.ups, nn.Conv2d))
        self.decoders = nn.ModuleList(_folded(blocks) for blocks in network.decoders)
        self.ending = convolution(network.ending)
        self.device = network.intro.weight.device
        self.to(self.device, dtype).eval()
        self.groups.to(dtype=attention_dtype or dtype)
        self.fusion = copy.deepcopy(network.fusion) if network.settings.fused else None
        parts = (GatedConvolution, GatedTail, FoldedLayer)
        found = sum(isinstance(module, parts) for module in self.modules())
        self._steps = 2 + len(self.downs) + len(self.ups) + found

    def forward(
        self, image: Tensor, labels: Tensor, tile: int = 0, heard: Heard = nobody
    ) -> Tensor:
        """Restore planes.

        Args:
            image: float32 `(B, input_channels, H, W)` on the host, normalised.
            labels: integers `(B, s*H, s*W)` on the host, the region of each output pixel.
            tile: side in output pixels of the tiles that go to the device one after the other; 0
                for whole planes. It changes the result by rounding alone.
            heard: called with the share of the work that is done.

        Returns:
            float32 `(B, C, s*H, s*W)` on the host.

        Raises:
            ValueError: labels are not on the output's grid.
        """
        settings = self.settings
        if settings.scale != 1:
            image = F.interpolate(
                image, scale_factor=settings.scale, mode="bilinear", align_corners=False
            )
        height, width = image.shape[-2:]
        if labels.shape != (image.shape[0], height, width):
            raise ValueError(f"labels are {tuple(labels.shape)}, the output {tuple(image.shape)}")
        typical = divisors(image, settings) if settings.equivariant else None
        image, labels = pad_to_multiple(
            image if typical is None else image / typical, labels, settings.multiple
        )
        latent = labels[:, :: settings.stride, :: settings.stride]
        plan = make_plan(latent, settings.window, settings.max_region_tokens).to(self.device)
        tile = max(tile // settings.multiple, 1) * settings.multiple if tile else 0
        tiles = Tiles(self.device, image.shape[-1], tile, Steps(self._steps, heard).step)
        with torch.inference_mode():
            pixels = image.permute(0, 2, 3, 1).to(tiles.store)
            restored = self._restore(pixels.contiguous(), plan, tiles)
            restored = restored[:, :height, :width].permute(0, 3, 1, 2).cpu()
        return restored if typical is None else restored * typical[:, :1]

    def _restore(self, image: Tensor, plan: RegionPlan, tiles: Tiles) -> Tensor:
        """Map `(B, H, W, input_channels)` to `(B, H, W, C)`, on the device of whole maps."""
        if self.fusion is not None:
            image = fused_by_rows(self.fusion, image, self.device)
        x = _convolve(self.intro, image, tiles)
        skips = []
        encoders, downs = each(self.encoders, nn.ModuleList), each(self.downs, nn.Conv2d)
        for encoder, down in zip(encoders, downs, strict=True):
            skips.append(_through(encoder, x, tiles))
            x = _shrink(down, x, tiles)
        x = self._trunk(x.to(self.device), plan, tiles.heard).to(tiles.store)
        ups, decoders = each(self.ups, nn.Linear), each(self.decoders, nn.ModuleList)
        for up, decoder in zip(ups, decoders, strict=True):
            x = _enlarge(up, x, skips.pop(), tiles)  # by itself: it frees the coarser map
            x = _through(decoder, x, tiles)
        restored = _convolve(self.ending, x, tiles)
        return added(image, restored, self.settings.channels, axis=-1)

    def _trunk(self, x: Tensor, plan: RegionPlan, heard: Heard) -> Tensor:
        shallow = x
        for group in self.groups:
            x = group(x, plan, heard)
        return x + shallow


def _folded(blocks: nn.Module) -> nn.ModuleList:
    """Return the two parts of each NAF block, one after the other."""
    return nn.ModuleList(
        part
        for block in each(blocks, NAFBlock)
        for part in (GatedConvolution(block), GatedTail(block))
    )


def _through(parts: nn.ModuleList, x: Tensor, tiles: Tiles) -> Tensor:
    """Change a map in place by NAF blocks, and return it.

    The second part of each needs the mean of what the first one gave, over the whole plane.
    """
    firsts, tails = each(parts[::2], GatedConvolution), each(parts[1::2], GatedTail)
    for first, tail in zip(firsts, tails, strict=True):
        y = torch.empty_like(x, dtype=first.dtype)
        total = torch.zeros(len(x), x.shape[-1], device=tiles.device)
        for tile in tiles.cover(x):
            part, (rows, columns) = tiles.read_around(x, tile)
            values = first(part, rows, columns)
            total += values.sum((1, 2), dtype=torch.float32)
            tiles.write(y, tile, values)
        mean = total / (x.shape[1] * x.shape[2])
        for tile in tiles.cover(x):
            tiles.write(x, tile, tail(tiles.read(x, tile), tiles.read(y, tile), mean))
    return x


def _convolve(layer: nn.Conv2d, x: Tensor, tiles: Tiles) -> Tensor:
    """Apply a 3x3 convolution to a map."""
    result = x.new_empty(*x.shape[:3], layer.out_channels)
    for tile in tiles.cover(result if layer.out_channels > layer.in_channels else x):
        part, (rows, columns) = tiles.read_around(x, tile)
        tiles.write(result, tile, _convolved(layer, part)[:, rows, columns])
    return result


def _shrink(layer: nn.Conv2d, x: Tensor, tiles: Tiles) -> Tensor:
    """Apply a 2x2 convolution of stride 2 to a map."""
    batch, height, width, _ = x.shape
    result = x.new_empty(batch, height // 2, width // 2, layer.out_channels)
    for tile in tiles.cover(x):
        half = Box(tile.top // 2, tile.left // 2, tile.height // 2, tile.width // 2)
        tiles.write(result, half, _convolved(layer, tiles.read(x, tile)))
    return result


def _enlarge(layer: nn.Linear, x: Tensor, skip: Tensor, tiles: Tiles) -> Tensor:
    """Add a map of twice the size to a skip, in place; see `fold.shuffling`."""
    for tile in tiles.cover(x):
        part = tiles.read(x, tile)
        fine = layer(part.to(layer.weight.dtype)).unflatten(-1, (2, 2, -1)).transpose(2, 3)
        rows, columns = tile.scaled(2).slices
        target = skip[:, rows, columns].unflatten(1, (-1, 2)).unflatten(3, (-1, 2))
        target += fine.to(skip.device)  # (B,h,2,w,2,C)
    return skip


def _convolved(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply a convolution to `(B, H, W, C)`; gives float32 of the same layout."""
    y = layer(x.permute(0, 3, 1, 2).to(layer.weight.dtype))
    return y.permute(0, 2, 3, 1).float()
