"""SAM's image encoder with its global attention a strip of rows at a time.

The published blocks hold the scores of all pairs of tokens several times over: 2.4 GB for an
official encoder. A strip of scores stays in the cache. Same function, same weights.

Shapes: B images, h w tokens, C channels, H heads of d channels, r rows of a strip.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention, Block
from torch import Tensor
from torch.nn import functional as F

# Rows of query tokens at a time: on a CPU a strip of scores should fit the cache.
_CPU_ROWS = 1
_GPU_ROWS = 16


def encode(encoder: ImageEncoderViT, images: Tensor) -> Tensor:
    """Embed preprocessed images `(B, 3, S, S)` as `(B, C', h, w)`.

    Source: `ImageEncoderViT.forward` of segment-anything.
    """
    x = encoder.patch_embed(images)
    if encoder.pos_embed is not None:
        x = x + encoder.pos_embed
    for block in encoder.blocks:
        x = block(x) if block.window_size else _global_block(block, x)
    embedding: Tensor = encoder.neck(x.permute(0, 3, 1, 2))
    return embedding


def _global_block(block: Block, x: Tensor) -> Tensor:
    """A block whose attention spans the image, tokens `(B, h, w, C)`."""
    x = x + _attend(block.attn, block.norm1(x))
    out: Tensor = x + block.mlp(block.norm2(x))
    return out


def _attend(attention: Attention, x: Tensor) -> Tensor:
    """Attention over the image with decomposed relative positions, tokens `(B, h, w, C)`."""
    batch, height, width, _ = x.shape
    heads = attention.num_heads
    qkv = attention.qkv(x).view(batch, height, width, 3, heads, -1)
    q, k, v = qkv.permute(3, 0, 4, 1, 2, 5).flatten(1, 2).unbind(0)  # each (BH,h,w,d)
    keys, values = k.flatten(1, 2).mT.contiguous(), v.flatten(1, 2)  # (BH,d,hw), (BH,hw,d)
    rows = _CPU_ROWS if x.device.type == "cpu" else _GPU_ROWS
    strips = []
    for top in range(0, height, rows):
        part = q[:, top : top + rows]  # (BH,r,w,d)
        scores = (part.flatten(1, 2) * attention.scale) @ keys  # (BH,rw,hw)
        if attention.use_rel_pos:
            scores = _add_positions(scores, part, attention, top, (height, width))
        strips.append(scores.softmax(-1) @ values)  # (BH,rw,d)
    out = torch.cat(strips, dim=1).view(batch, heads, height, width, -1)
    projected: Tensor = attention.proj(out.permute(0, 2, 3, 1, 4).flatten(3))
    return projected


def _add_positions(
    scores: Tensor, part: Tensor, attention: Attention, top: int, grid: tuple[int, int]
) -> Tensor:
    """Add to scores `(BH, rw, hw)` what queries `(BH, r, w, d)` say to distances in both axes."""
    height, width = grid
    rows = _offsets(attention.rel_pos_h, height)[top : top + part.shape[1]]  # (r,h,d)
    columns = _offsets(attention.rel_pos_w, width)  # (w,w,d)
    by_row = torch.einsum("brwd,rkd->brwk", part, rows).flatten(1, 2)  # (BH,rw,h)
    by_column = torch.einsum("brwd,wkd->brwk", part, columns).flatten(1, 2)  # (BH,rw,w)
    spread = scores.view(*scores.shape[:2], height, width)
    return (spread + by_row[..., None] + by_column[:, :, None]).flatten(2)


def _offsets(table: Tensor, size: int) -> Tensor:
    """Embedding of each pair's distance `(size, size, d)`; the table is resized where need be."""
    if table.shape[0] != 2 * size - 1:
        resized = F.interpolate(table.mT[None], size=2 * size - 1, mode="linear")
        table = resized[0].mT
    steps = torch.arange(size, device=table.device)
    return table[steps[:, None] - steps[None] + size - 1]
