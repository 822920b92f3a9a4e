"""Losses: the focal region loss of the paper, and Charbonnier as its base."""

from __future__ import annotations

import torch
from torch import Tensor

from ratcli.training import parallel


def region_means(error: Tensor, labels: Tensor) -> Tensor:
    """Return the mean error of each pixel's region, over all channels.

    Args:
        error: `(B, C, H, W)`, not negative.
        labels: integers `(B, H, W)`; equal numbers of different planes are different regions.

    Returns:
        `(B, H, W)`.
    """
    span = int(labels.max()) + 1
    planes = torch.arange(len(labels), device=labels.device).view(-1, 1, 1)
    keys = (labels.long() + planes * span).flatten()
    pixels = error.float().mean(1).flatten()
    sums = torch.zeros(len(labels) * span, device=error.device).index_add_(0, keys, pixels)
    counts = torch.bincount(keys, minlength=len(sums)).clamp(min=1)
    return (sums / counts)[keys].view(labels.shape)


def focal_region_loss(
    prediction: Tensor, target: Tensor, labels: Tensor, beta: float, epsilon: float = 0.0
) -> Tensor:
    """Mean absolute error, heavier where a region's error is large.

    `mean(e * (1 + beta * w))`, where w is the mean e of the pixel's region over the largest such
    mean of the batch (of all processes' batches); no gradient flows through w.

    Args:
        prediction: `(B, C, H, W)`.
        target: `(B, C, H, W)`.
        labels: integers `(B, H, W)`.
        beta: weight of hard regions; 0 is the plain mean absolute error.
        epsilon: if not 0, e is Charbonnier's `sqrt(d^2 + epsilon^2)` in place of `|d|`.

    Source: Yang et al., Region Attention Transformer, MICCAI 2024, focal region loss.
    """
    difference = prediction.float() - target.float()
    error = difference.abs() if epsilon == 0 else (difference**2 + epsilon**2).sqrt()
    if beta == 0:
        return error.mean()
    with torch.no_grad():
        means = region_means(error.detach(), labels)
        highest = parallel.largest(means.max())
        weight = means / highest.clamp(min=torch.finfo(torch.float32).tiny)
    return (error * (1 + beta * weight[:, None])).mean()


def degradation_size(degraded: Tensor, target: Tensor, least: float = 0.004) -> Tensor:
    """Return the root mean square difference of each example from its target, `(B, 1, 1, 1)`.

    If errors are divided by it, an example with little noise counts as much as one with strong
    noise. Without the division, the noisiest examples decide the mean, and the network learns to
    blur the others.

    Args:
        degraded: `(B, C, H, W)` in the network's units.
        target: of the same shape.
        least: lower bound, in the network's units, for examples that hardly differ.
    """
    squared = (degraded.float() - target.float()).square().mean((1, 2, 3), keepdim=True)
    return (squared + least**2).sqrt()
