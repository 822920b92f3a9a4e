"""Region attention (R-MSA) and window attention (W-MSA) over tokens in window order."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ratcli.network.plan import BIN_TOKENS, RegionPlan

# While training on CPU, regions up to this size keep their weights for the backward pass.
EXPLICIT_TOKENS = 1024


class _Permute(torch.autograd.Function):
    """Reorder rows; the gradient is the inverse reordering, not a scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        order, inverse = ctx.saved_tensors
        return _Permute.apply(grads[0], inverse, order), None, None


def permute_rows(x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """Return `x[order]` for a permutation and its inverse; x is `(N, C)`."""
    result: Tensor = _Permute.apply(x, order, inverse)
    return result


def to_windows(grid: Tensor, window: int) -> Tensor:
    """Flatten `(B, h, w, C)` to `(B*h*w, C)`, the tokens of a window side by side."""
    batch, height, width, channels = grid.shape
    grid = grid.reshape(batch, height // window, window, width // window, window, channels)
    return grid.transpose(2, 3).reshape(-1, channels)


def from_windows(tokens: Tensor, shape: tuple[int, int, int], window: int) -> Tensor:
    """Undo `to_windows`: `(B*h*w, C)` to `(B, h, w, C)`, given `shape = (B, h, w)`."""
    batch, height, width = shape
    channels = tokens.shape[-1]
    tokens = tokens.reshape(batch, height // window, width // window, window, window, channels)
    return tokens.transpose(2, 3).reshape(batch, height, width, channels)


def region_attention(qkv: Tensor, plan: RegionPlan, heads: int) -> Tensor:
    """Attend inside each region.

    Logits are scaled by `heads ** -0.5`, as published (not by the head's width).

    Args:
        qkv: `(N, 3*C)` in the plan's sorted order; queries, keys, values side by side.
        plan: the regions.
        heads: attention heads; C is a multiple.

    Returns:
        `(N, C)` in sorted order.

    Source: Zhu et al., Region Attention Transformer, MICCAI 2024, R-MSA; pairs in different
    regions get a weight of exactly zero.
    """
    engine = _varlen if _has_varlen(qkv) else _loop
    return engine(qkv, plan, heads)


def _loop(qkv: Tensor, plan: RegionPlan, heads: int) -> Tensor:
    """Small regions in padded rows, each larger one in a call of its own."""
    scale = heads**-0.5
    packed = plan.packed_tokens
    parts = []
    if plan.bins is not None:
        rows = qkv[:packed].index_select(0, plan.bins.slots).view(-1, BIN_TOKENS, qkv.shape[1])
        q, k, v = _split_heads(rows, heads)
        out = _attend_small(q, k, v, scale, plan.bins.mask)
        parts.append(_join_heads(out).flatten(0, 1).index_select(0, plan.bins.places))
    regions = qkv[packed:].split(list(plan.sizes[plan.small :])) if packed < len(qkv) else ()
    for tokens in regions:
        q, k, v = _split_heads(tokens[None], heads)
        if torch.is_grad_enabled() and len(tokens) <= EXPLICIT_TOKENS:
            out = _attend_small(q, k, v, scale)
        else:
            out = F.scaled_dot_product_attention(q, k, v, scale=scale)
        parts.append(_join_heads(out)[0])
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _attend_small(
    q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None
) -> Tensor:
    """Attention over rows of few tokens `(R, heads, N, d)`, where one product each is fastest.

    On CPU the fused kernel's backward pass takes ten times as long for rows of 16 tokens.
    """
    logits = (q * scale) @ k.mT
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf"))
    weights: Tensor = logits.softmax(-1) @ v
    return weights


def _varlen(qkv: Tensor, plan: RegionPlan, heads: int) -> Tensor:
    """All regions in one flash attention call with cumulative lengths; half precision on CUDA."""
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (part.reshape(len(qkv), heads, -1).contiguous() for part in qkv.chunk(3, dim=-1))
    # varlen_attn scales by the head's width; queries carry the published scale.
    q = q * (heads**-0.5 * q.shape[-1] ** 0.5)
    starts, longest = plan.offsets, plan.longest
    out: Any = varlen_attn(q, k, v, starts, starts, longest, longest)
    return out.flatten(1)


def _has_varlen(qkv: Tensor) -> bool:
    half = qkv.is_cuda and qkv.dtype in (torch.float16, torch.bfloat16)
    return half and importlib.util.find_spec("torch.nn.attention.varlen") is not None


def _split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Split `(R, N, 3*C)` into q, k, v of `(R, heads, N, C/heads)`."""
    rows, tokens, width = qkv.shape
    parts = qkv.view(rows, tokens, 3, heads, width // (3 * heads))
    return parts.permute(2, 0, 3, 1, 4).unbind(0)


def _join_heads(out: Tensor) -> Tensor:
    """Join `(R, heads, N, d)` to `(R, N, heads*d)`."""
    return out.transpose(1, 2).flatten(2)


class RegionAttention(nn.Module):
    """R-MSA: multi-head self-attention inside each region, linear in memory.

    Args:
        channels: width of the tokens.
        heads: attention heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, x: Tensor, plan: RegionPlan) -> Tensor:
        """Map `(N, C)` tokens in window order to the same shape and order."""
        x = permute_rows(x, plan.order, plan.inverse)
        x = region_attention(self.qkv(x), plan, self.heads)
        return permute_rows(self.project(x), plan.inverse, plan.order)


class WindowAttention(nn.Module):
    """W-MSA: multi-head self-attention inside fixed windows that are not shifted.

    Args:
        channels: width of the tokens.
        heads: attention heads.
        window: side of a window, in tokens.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.tokens = window * window
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C)` tokens in window order to the same shape and order."""
        qkv = self.qkv(x).view(-1, self.tokens, 3 * x.shape[-1])
        q, k, v = _split_heads(qkv, self.heads)
        out = _attend_small(q, k, v, self.heads**-0.5)
        return self.project(_join_heads(out).flatten(0, 1))
