"""SAM's mask decoder, re-associated: the same function of the same weights, several times faster.

The published decoder projects every image token of every prompt. A prompt has only 7 tokens, so
the projections move to them: with keys k = W_k x, scores q k = (W_k^T q) x, and sums of values
W_v x = W_v (sum of x). Biases of keys shift all scores alike and fall out of the softmax. Before
the first layer all prompts of an image share the image tokens, which are projected once. The
upscaling runs only for prompts that are asked for.

Shapes: I images, P prompts an image, B = I P, T tokens a prompt, N = h w image tokens, C channels,
H heads of d channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Decoded:
    """What the decoder's transformer gives for B prompts.

    Attributes:
        quality: predicted IoU of the multimask outputs `(B, M)`.
        mask_tokens: `(B, M, C)`.
        image: image tokens `(B, N, C)`, still to be upscaled.
        grid: rows and columns of image tokens.
    """

    quality: Tensor
    mask_tokens: Tensor
    image: Tensor
    grid: tuple[int, int]


def decode(decoder: MaskDecoder, embedding: Tensor, position: Tensor, prompts: Tensor) -> Decoded:
    """Run the two-way transformer for the prompts of some images.

    Args:
        decoder: the published module.
        embedding: image embeddings plus the dense prompt embedding `(I, C, h, w)`.
        position: dense positional encoding `(C, h, w)`.
        prompts: sparse prompt embeddings `(I, P, S, C)`.

    Source: `MaskDecoder.predict_masks` and `TwoWayTransformer.forward` of segment-anything.
    """
    images, count, _, width = prompts.shape
    grid = (embedding.shape[-2], embedding.shape[-1])
    keys = embedding.flatten(2).mT  # (I,C,h,w) -> (I,N,C)
    place = position.flatten(1).mT  # (C,h,w) -> (N,C)
    fixed = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    fixed = fixed.expand(images, count, -1, -1)
    tokens = torch.cat([fixed, prompts], dim=2).flatten(0, 1)  # (B,T,C)
    queries, image = _two_way(decoder.transformer, tokens, keys.contiguous(), place, count)
    outputs = decoder.num_mask_tokens
    return Decoded(
        quality=decoder.iou_prediction_head(queries[:, 0])[:, 1:],
        mask_tokens=queries[:, 2 : 1 + outputs],
        image=image.view(images * count, -1, width),
        grid=grid,
    )


def upscale(decoder: MaskDecoder, decoded: Decoded, chosen: Tensor | None = None) -> Tensor:
    """Make mask logits `(B', M, 4h, 4w)` of the chosen prompts; of all where none are named.

    Source: `MaskDecoder.predict_masks`; a transposed convolution of stride 2 and size 2 is a
    linear map of each token.
    """
    image = decoded.image if chosen is None else decoded.image[chosen]
    tokens = decoded.mask_tokens if chosen is None else decoded.mask_tokens[chosen]
    first, norm, act, second, last_act = decoder.output_upscaling
    fine = _spread(first, image)  # (B,N,4,C/4)
    fine = F.layer_norm(fine, fine.shape[-1:], norm.weight, norm.bias, norm.eps)
    finer = last_act(_spread(second, act(fine)))  # (B,N,4,4,C/8)
    heads = decoder.output_hypernetworks_mlps
    weights = torch.stack([heads[i + 1](tokens[:, i]) for i in range(tokens.shape[1])], 1)
    logits = finer.flatten(1, 3) @ weights.mT  # (B,16N,M)
    height, width = decoded.grid
    logits = logits.view(-1, height, width, 2, 2, 2, 2, weights.shape[1])
    logits = logits.permute(0, 7, 1, 3, 5, 2, 4, 6)  # (B,M, h,2,2, w,2,2)
    return logits.reshape(-1, weights.shape[1], 4 * height, 4 * width)


def _spread(convolution: torch.nn.ConvTranspose2d, tokens: Tensor) -> Tensor:
    """Transposed convolution of stride 2: `(..., C)` to `(..., 4, C')`, row by row."""
    weight = convolution.weight.permute(0, 2, 3, 1).flatten(1)  # (C,C',2,2) -> (C,4C')
    bias = convolution.bias
    assert bias is not None
    return F.linear(tokens, weight.mT, bias.repeat(4)).unflatten(-1, (4, -1))


def _two_way(
    transformer: TwoWayTransformer, tokens: Tensor, keys: Tensor, place: Tensor, prompts: int
) -> tuple[Tensor, Tensor]:
    """Return queries `(B, T, C)` and image tokens `(B, N, C)` after all layers."""
    queries, image = tokens, keys
    for index, layer in enumerate(transformer.layers):
        queries = _attend_self(layer, queries, tokens)
        shared = index == 0
        attend = _ask_shared if shared else _ask_each
        attended = attend(layer.cross_attn_token_to_image, queries + tokens, image, place)
        queries = layer.norm2(queries + attended)
        queries = layer.norm3(queries + layer.mlp(queries))
        image = _answer(
            layer.cross_attn_image_to_token, queries + tokens, queries, image, place, shared
        )
        image = layer.norm4(image)
    assert image.shape[0] == keys.shape[0] * prompts
    last = transformer.final_attn_token_to_image
    queries = queries + _ask_each(last, queries + tokens, image, place)
    return transformer.norm_final_attn(queries), image


def _attend_self(layer: TwoWayAttentionBlock, queries: Tensor, tokens: Tensor) -> Tensor:
    if layer.skip_first_layer_pe:
        attended: Tensor = layer.self_attn(q=queries, k=queries, v=queries)
    else:
        q = queries + tokens
        attended = queries + layer.self_attn(q=q, k=q, v=queries)
    normed: Tensor = layer.norm1(attended)
    return normed


def _split(values: Tensor, heads: int) -> Tensor:
    """`(B, T, Hd)` to `(B, H, T, d)`."""
    return torch.unflatten(values, -1, (heads, -1)).transpose(1, 2)


def _ask_shared(attention: Attention, asking: Tensor, keys: Tensor, place: Tensor) -> Tensor:
    """Attend from tokens `(B, T, C)` to image tokens that prompts share, `(I, N, C)`."""
    heads = attention.num_heads
    images, count = keys.shape[0], asking.shape[1]
    q = attention.q_proj(asking).reshape(images, -1, attention.internal_dim)  # (I,PT,Hd)
    k = attention.k_proj(keys + place)
    v = attention.v_proj(keys)
    out = F.scaled_dot_product_attention(_split(q, heads), _split(k, heads), _split(v, heads))
    out = out.transpose(1, 2).reshape(-1, count, attention.internal_dim)
    answer: Tensor = attention.out_proj(out)
    return answer


def _ask_each(attention: Attention, asking: Tensor, image: Tensor, place: Tensor) -> Tensor:
    """Attend from tokens `(B, T, C)` to each prompt's own image tokens `(B, N, C)`."""
    heads, count = attention.num_heads, asking.shape[1]
    q = _split(attention.q_proj(asking), heads)  # (B,H,T,d)
    q = q / math.sqrt(q.shape[-1])
    key_weight = torch.unflatten(attention.k_proj.weight, 0, (heads, -1))  # (H,d,C)
    moved = torch.einsum("bhtd,hdc->bhtc", q, key_weight).flatten(1, 2)  # (B,HT,C)
    scores = torch.baddbmm(_place_scores(q, place, attention.k_proj), moved, image.mT)
    seen = (scores.softmax(-1) @ image).unflatten(1, (heads, count))  # (B,H,T,C)
    value_weight = torch.unflatten(attention.v_proj.weight, 0, (heads, -1))  # (H,d,C)
    out = torch.einsum("bhtc,hdc->bthd", seen, value_weight).flatten(2)
    answer: Tensor = attention.out_proj(out + attention.v_proj.bias)
    return answer


def _place_scores(q: Tensor, place: Tensor, projection: torch.nn.Linear) -> Tensor:
    """Scores `(B, HT, N)` of queries `(B, H, T, d)` with the projected positions."""
    batch, heads, count, _ = q.shape
    placed = (place @ projection.weight.mT).unflatten(-1, (heads, -1))  # (N,H,d)
    by_head = q.transpose(0, 1).flatten(1, 2)  # (H,BT,d)
    scores = by_head @ placed.permute(1, 2, 0)  # (H,BT,N)
    return scores.view(heads, batch, count, -1).transpose(0, 1).flatten(1, 2)


def _answer(
    attention: Attention,
    keys: Tensor,
    values: Tensor,
    image: Tensor,
    place: Tensor,
    shared: bool,
) -> Tensor:
    """Attend from image tokens to the prompts' tokens, and add: `(B, N, C)`.

    Args:
        attention: the layer's module.
        keys: tokens for the keys `(B, T, C)`.
        values: tokens for the values `(B, T, C)`.
        image: image tokens, `(I, N, C)` where shared, else `(B, N, C)`.
        place: positions `(N, C)`.
        shared: whether the prompts of an image share its tokens.
    """
    heads, (batch, count, _) = attention.num_heads, keys.shape
    k = _split(attention.k_proj(keys), heads)  # (B,H,T,d)
    k = k / math.sqrt(k.shape[-1])
    scores = (_shared_scores if shared else _each_scores)(attention, k, image, place)
    weights = scores.view(batch, heads, count, -1).softmax(2).flatten(1, 2)  # (B,HT,N)
    v = _split(attention.v_proj(values), heads)
    out_weight = torch.unflatten(attention.out_proj.weight, 1, (heads, -1))  # (C,H,d)
    moved = torch.einsum("bhtd,chd->bhtc", v, out_weight)
    # Weights of a head sum to 1 over its tokens: the bias may ride on the values.
    moved = (moved + attention.out_proj.bias / heads).flatten(1, 2)  # (B,HT,C)
    if shared:
        image = image.repeat_interleave(batch // image.shape[0], dim=0)
    return torch.baddbmm(image, weights.mT, moved)


def _shared_scores(attention: Attention, k: Tensor, image: Tensor, place: Tensor) -> Tensor:
    """Scores `(B, HT, N)` of token keys `(B, H, T, d)` with shared image tokens `(I, N, C)`."""
    batch, heads, count, _ = k.shape
    images = image.shape[0]
    q = _split(attention.q_proj(image + place), heads)  # (I,H,N,d)
    by_image = torch.unflatten(k, 0, (images, -1)).transpose(1, 2).flatten(2, 3)  # (I,H,PT,d)
    scores = by_image @ q.mT  # (I,H,PT,N)
    scores = torch.unflatten(scores, 2, (batch // images, count)).transpose(1, 2)
    return scores.reshape(batch, heads * count, -1)


def _each_scores(attention: Attention, k: Tensor, image: Tensor, place: Tensor) -> Tensor:
    """Scores `(B, HT, N)` of token keys `(B, H, T, d)` with image tokens `(B, N, C)`."""
    query_weight = torch.unflatten(attention.q_proj.weight, 0, (attention.num_heads, -1))  # (H,d,C)
    moved = torch.einsum("bhtd,hdc->bhtc", k, query_weight).flatten(1, 2)
    bias = torch.unflatten(attention.q_proj.bias, 0, (attention.num_heads, -1))  # (H,d)
    constant = (k * bias[None, :, None]).sum(-1).flatten(1)[..., None]  # (B,HT,1)
    base = _place_scores(k, place, attention.q_proj) + constant
    return torch.baddbmm(base, moved, image.mT)
