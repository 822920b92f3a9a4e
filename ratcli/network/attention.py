"""Region attention (R-MSA) and window attention (W-MSA) over tokens in window order."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ratcli.network.plan import BIN_TOKENS, RegionPlan

Engine = Callable[[Tensor, RegionPlan], Tensor]

log = logging.getLogger(__name__)

# Engines that this machine's GPU turned out not to run.
_refused: set[Engine] = set()

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


def region_attention(qkv: Tensor, plan: RegionPlan) -> Tensor:
    """Attend inside each region.

    Logits are scaled by `heads ** -0.5`, as published (not by the head's width).

    Args:
        qkv: `(N, 3, heads, d)` in the plan's sorted order: queries, keys, values. On a CPU memory
            that holds one head after the other is fastest.
        plan: the regions.

    Returns:
        `(N, heads*d)` in sorted order.

    Source: Yang et al., Region Attention Transformer, MICCAI 2024, R-MSA; pairs in different
    regions get a weight of exactly zero.
    """
    engine = _engine_for(qkv)
    if engine is loop or engine in _refused:
        return loop(qkv, plan)
    try:
        return engine(qkv, plan)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, NotImplementedError) as error:
        # Which kernels a GPU runs depends on its age, the head's width and torch's build.
        log.warning(
            "region by region, as this GPU refused all at once: %s", str(error).split("\n", 1)[0]
        )
        _refused.add(engine)
        return loop(qkv, plan)


def window_attention(qkv: Tensor, tokens: int, heads: int) -> Tensor:
    """Attend inside each run of so many tokens, all in one batched product.

    Args:
        qkv: `(N, 3*C)` in window order.
        tokens: tokens of a window; N is a multiple.
        heads: attention heads.

    Returns:
        `(N, C)` in window order.
    """
    q, k, v = _split_heads(qkv.view(-1, tokens, 3, heads, qkv.shape[-1] // (3 * heads)))
    if qkv.device.type == "cpu" and not torch.is_grad_enabled():
        out = F.scaled_dot_product_attention(q, k, v, scale=heads**-0.5)
    else:
        out = _attend_small(q, k, v, heads**-0.5)
    return _join_heads(out).flatten(0, 1)


def loop(qkv: Tensor, plan: RegionPlan) -> Tensor:
    """Small regions in padded rows, each larger one in a call of its own."""
    scale = qkv.shape[2] ** -0.5
    packed = plan.packed_tokens
    parts = []
    if plan.bins is not None:
        rows = qkv[:packed].index_select(0, plan.bins.slots)
        q, k, v = _split_heads(rows.unflatten(0, (-1, BIN_TOKENS)))
        out = _attend_small(q, k, v, scale, plan.bins.mask)
        parts.append(_join_heads(out).flatten(0, 1).index_select(0, plan.bins.places))
    regions = qkv[packed:].split(list(plan.sizes[plan.small :])) if packed < len(qkv) else ()
    for tokens in regions:
        q, k, v = _split_heads(tokens[None])
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


def varlen(qkv: Tensor, plan: RegionPlan) -> Tensor:
    """All regions in one flash attention call with cumulative lengths; half precision on CUDA."""
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (part.contiguous() for part in qkv.unbind(1))
    # varlen_attn scales by the head's width; queries carry the published scale.
    q = q * (q.shape[-1] / q.shape[-2]) ** 0.5
    starts, longest = plan.offsets, plan.longest
    out: Any = varlen_attn(q, k, v, starts, starts, longest, longest)
    return out.flatten(1)


def jagged(qkv: Tensor, plan: RegionPlan) -> Tensor:
    """All regions in one call over nested tensors, without padding; float32 on CUDA."""
    q, k, v = (
        torch.nested.nested_tensor_from_jagged(
            part.contiguous(),
            plan.offsets.long(),
            min_seqlen=min(plan.sizes),
            max_seqlen=plan.longest,
        ).transpose(1, 2)
        for part in qkv.unbind(1)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The PyTorch API of nested tensors is in prototype")
        out: Any = F.scaled_dot_product_attention(q, k, v, scale=qkv.shape[2] ** -0.5)
    return out.transpose(1, 2).values().flatten(1)


def _engine_for(qkv: Tensor) -> Engine:
    """Return what attends fastest on the device of `(N, 3, heads, d)`."""
    if not qkv.is_cuda:
        return loop
    half = qkv.dtype in (torch.float16, torch.bfloat16)
    flash = torch.cuda.get_device_capability(qkv.device)[0] >= 8 and qkv.shape[-1] % 8 == 0
    found = importlib.util.find_spec("torch.nn.attention.varlen") is not None
    return varlen if half and flash and found else jagged


def _split_heads(qkv: Tensor) -> tuple[Tensor, ...]:
    """Split `(R, N, 3, heads, d)` into q, k, v of `(R, heads, N, d)`."""
    return qkv.permute(2, 0, 3, 1, 4).unbind(0)


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
        qkv = self.qkv(x).view(len(x), 3, self.heads, -1)
        x = region_attention(qkv, plan)
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
        return self.project(window_attention(self.qkv(x), self.tokens, self.heads))
