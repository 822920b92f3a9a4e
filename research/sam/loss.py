"""Runs a SAM on prompts, and measures how wrong its masks are."""

from __future__ import annotations

import torch
from segment_anything.modeling import Sam
from torch import Tensor
from torch.nn import functional as F

from ratcli.partition.sam_decoder import decode, upscale
from research.sam.prompts import Prompted


def segment_prompts(sam: Sam, prompted: Prompted) -> tuple[Tensor, Tensor]:
    """Run a SAM on prompted pictures: three quarters of the prompts as points, the rest as boxes.

    Regions are found by points alone; boxes are easier, and teach the encoder what a region is.

    Returns:
        Mask logits `(I P, 3, S/4, S/4)` and predicted IoU `(I P, 3)`.
    """
    images, count = prompted.points.shape[:2]
    pointed = count - count // 4
    features = sam.image_encoder(sam.preprocess(prompted.pictures.float()))
    features = features + sam.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
    points = prompted.points[:, :pointed].reshape(-1, 1, 2)
    labels = torch.ones(len(points), 1, device=points.device)
    by_point, _ = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
    boxes = prompted.boxes[:, pointed:].reshape(-1, 4)
    by_box, _ = sam.prompt_encoder(points=None, boxes=boxes, masks=None)
    prompts = torch.cat(
        [
            by_point.view(images, pointed, 2, -1),
            by_box.view(images, count - pointed, 2, -1),
        ],
        dim=1,
    )
    position = sam.prompt_encoder.get_dense_pe()[0]
    decoded = decode(sam.mask_decoder, features, position, prompts)
    return upscale(sam.mask_decoder, decoded), decoded.quality


def mask_loss(logits: Tensor, quality: Tensor, targets: Tensor) -> Tensor:
    """2 BCE + Dice of the best of three masks, and the squared error of all predicted IoUs.

    Args:
        logits: `(B, M, h, w)`.
        quality: `(B, M)`.
        targets: bool `(B, h, w)`.

    Source: Kirillov et al., Segment Anything, 2023, appendix A, with BCE for its focal loss.
    """
    logits = logits.float()
    wanted = targets[:, None].expand_as(logits).float()
    bce = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((2, 3))
    shares = logits.sigmoid()
    both = (shares * wanted).sum((2, 3))
    dice = 1 - (2 * both + 1) / (shares.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    best = (2 * bce + dice).min(dim=1).values
    with torch.no_grad():
        found = logits > 0
        overlap = (found & targets[:, None]).sum((2, 3))
        union = (found | targets[:, None]).sum((2, 3))
        iou = overlap / union.clamp(min=1)
    return best.mean() + F.mse_loss(quality.float(), iou)
