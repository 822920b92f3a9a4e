"""Masks of a whole image by a grid of points, without a round trip at full size for each mask.

The same steps as the package's `SamAutomaticMaskGenerator` with one crop: predicted quality,
stability, boxes, non-maximum suppression. Here the image is embedded once, only prompts of which
a mask passes the quality threshold are upscaled, and stability, boxes and suppression work on
the decoder's own resolution; only masks that survive grow to the size of the plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import ImageEncoderViT, Sam
from segment_anything.modeling.image_encoder import Attention, Block
from torch import Tensor
from torch.nn import functional as F

from ratcli.partition.sam_decoder import decode, upscale
from ratcli.scan import BoolArray

# Rows of query tokens at a time: on a CPU a strip of scores should fit the cache.
_CPU_ROWS = 1
_GPU_ROWS = 16


@dataclass(frozen=True)
class MaskSettings:
    """How masks are proposed and which are kept.

    Attributes:
        points_per_side: points of the grid along each side.
        quality: least predicted IoU.
        stability: least IoU of the mask cut at logits one above and one below zero.
        overlap: boxes that overlap more are duplicates.
        batch: prompts decoded at a time; changes memory and speed only.
    """

    points_per_side: int = 32
    quality: float = 0.88
    stability: float = 0.95
    overlap: float = 0.7
    batch: int = 16

    def describe(self) -> tuple[str, ...]:
        """All that changes the result."""
        return (
            f"points={self.points_per_side}",
            f"quality={self.quality:g}",
            f"stability={self.stability:g}",
            f"overlap={self.overlap:g}",
        )


@dataclass(frozen=True)
class SquareFit:
    """Where a plane lies in the encoder's square.

    Attributes:
        plane: rows and columns of the plane.
        resized: rows and columns after resizing its longer side to the square's.
    """

    plane: tuple[int, int]
    resized: tuple[int, int]

    @classmethod
    def fit(cls, height: int, width: int, side: int) -> SquareFit:
        """Fit a plane into a square, rounding as the package does."""
        scale = side / max(height, width)
        return cls((height, width), (int(height * scale + 0.5), int(width * scale + 0.5)))


def embed(sam: Sam, images: npt.NDArray[np.uint8]) -> tuple[Tensor, SquareFit]:
    """Encode images.

    Args:
        sam: the model.
        images: `(B, H, W, 3)`, 8 bits.

    Returns:
        Embeddings `(B, C, h, w)` with the embedding of "no mask" added, and the fit.
    """
    from torchvision.transforms.functional import resize, to_pil_image

    fit = SquareFit.fit(images.shape[1], images.shape[2], sam.image_encoder.img_size)
    resized = [np.asarray(resize(to_pil_image(image), list(fit.resized))) for image in images]
    batch = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).to(sam.device)
    features = encode(sam.image_encoder, sam.preprocess(batch.float()))
    return features + sam.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1), fit


def propose(sam: Sam, embedding: Tensor, fit: SquareFit, settings: MaskSettings) -> list[BoolArray]:
    """Return the masks of one image, each bool `(H, W)`, the largest first.

    Args:
        sam: the model.
        embedding: `(1, C, h, w)` from `embed`.
        fit: from `embed`.
        settings: thresholds and grid.
    """
    logits: list[Tensor] = []
    qualities: list[Tensor] = []
    for points in _grid(fit, settings, embedding.device):
        kept, quality = _decode_batch(sam, embedding, points, fit, settings)
        logits.append(kept)
        qualities.append(quality)
    proposals, scores = torch.cat(logits), torch.cat(qualities)
    if not len(proposals):
        return []
    chosen = _suppress(proposals > sam.mask_threshold, scores, settings.overlap)
    masks = [_enlarge(one, sam, fit) for one in torch.split(proposals[chosen], 8)]
    full = torch.cat(masks).cpu().numpy()
    order = np.argsort(-full.sum(axis=(1, 2)), kind="stable")
    return [full[i] for i in order]


def _grid(fit: SquareFit, settings: MaskSettings, device: torch.device) -> tuple[Tensor, ...]:
    """Batches of points `(P, 2)`, x and y in the encoder's square."""
    side = settings.points_per_side
    steps = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(steps * fit.resized[0], steps * fit.resized[1], indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    batches: tuple[Tensor, ...] = torch.split(
        torch.from_numpy(points.astype(np.float32)).to(device), settings.batch
    )
    return batches


def _decode_batch(
    sam: Sam, embedding: Tensor, points: Tensor, fit: SquareFit, settings: MaskSettings
) -> tuple[Tensor, Tensor]:
    """Return low-resolution logits `(K, h', w')` of masks that pass, and their qualities."""
    labels = torch.ones(len(points), 1, device=points.device)
    sparse, _ = sam.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
    position = sam.prompt_encoder.get_dense_pe()[0]
    decoded = decode(sam.mask_decoder, embedding, position, sparse[None])
    good = decoded.quality > settings.quality  # (P,M)
    rows = good.any(dim=1).nonzero()[:, 0]
    low = upscale(sam.mask_decoder, decoded, rows)[good[rows]]  # (K,4h,4w)
    height, width = _low_size(sam, fit, low.shape[-1])
    low = low[:, :height, :width]
    stable = _stability(low, sam.mask_threshold) >= settings.stability
    return low[stable].half(), decoded.quality[good][stable]


def _low_size(sam: Sam, fit: SquareFit, side: int) -> tuple[int, int]:
    """Rows and columns of the decoder's masks that the plane covers."""
    step = sam.image_encoder.img_size / side
    return int(np.ceil(fit.resized[0] / step)), int(np.ceil(fit.resized[1] / step))


def _stability(logits: Tensor, threshold: float) -> Tensor:
    """IoU of masks `(K, H, W)` cut one above and one below the threshold; 0 where empty."""
    inner = (logits > threshold + 1).sum((1, 2))
    outer = (logits > threshold - 1).sum((1, 2))
    return inner / outer.clamp(min=1)


def _suppress(masks: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """Indexes of masks `(K, H, W)` that no better one duplicates, by their boxes."""
    from torchvision.ops import nms

    left, right = _extent(masks.any(dim=1))
    top, bottom = _extent(masks.any(dim=2))
    boxes = torch.stack([left, top, right, bottom], dim=1).float()
    kept: Tensor = nms(boxes, scores.float(), overlap)
    return kept


def _extent(used: Tensor) -> tuple[Tensor, Tensor]:
    """First and last true position of each row of `(K, L)`; 0 and 0 where there is none."""
    length = used.shape[1]
    numbers = used.to(torch.int32)
    first = numbers.argmax(dim=1)
    last = length - 1 - numbers.flip(1).argmax(dim=1)
    empty = ~used.any(dim=1)
    return first.masked_fill(empty, 0), last.masked_fill(empty, 0)


def _enlarge(logits: Tensor, sam: Sam, fit: SquareFit) -> Tensor:
    """Masks `(K, H, W)` of the plane from low-resolution logits, as the package enlarges them."""
    side = sam.image_encoder.img_size
    low = 4 * sam.prompt_encoder.image_embedding_size[0]
    # The package enlarges the padded square; what replicates the border here is cut off there.
    pad = (0, low - logits.shape[-1], 0, low - logits.shape[-2])
    square = F.pad(logits[:, None].float(), pad, mode="replicate")
    square = F.interpolate(square, (side, side), mode="bilinear", align_corners=False)
    square = square[..., : fit.resized[0], : fit.resized[1]]
    plane = F.interpolate(square, fit.plane, mode="bilinear", align_corners=False)
    return plane[:, 0] > sam.mask_threshold


def encode(encoder: ImageEncoderViT, images: Tensor) -> Tensor:
    """Embed preprocessed images `(B, 3, S, S)` as `(B, C', h, w)`.

    The published blocks hold the scores of all pairs of tokens several times over: 2.4 GB for an
    official encoder. Here global attention runs a strip of rows at a time, which stays in the
    cache: same function, same weights. Shapes: B images, h w tokens, C channels, H heads of d
    channels, r rows of a strip.

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
