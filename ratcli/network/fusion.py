"""Neighbouring planes are averaged into a plane before the network, where the anatomy is the same.

A small network finds the share of each neighbour pixel by pixel. It sees the differences from the
plane, each divided by its local noise, so that it works at every dose and in every unit: where a
difference is mere noise, a neighbour may count; where it is larger than its noise over a few
pixels, anatomy has moved. The network behind it restores the average as it restores a plane alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Pixels beyond a place that its shares depend on, rounded up; and rows that are averaged at once.
_REACH = 16
_ROWS = 128
_WIDTH = 16
_NOISE_PX = 11
_LEAST_NOISE = 1e-6
_MOST = 8.0
_FIRST_SHARE = 0.1


class NeighbourFusion(nn.Module):
    """Averages a plane and its neighbours.

    Args:
        channels: of a plane.
        context: neighbouring planes on each side.
    """

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.channels = channels
        planes = 2 * context
        self.layers = nn.Sequential(
            nn.Conv2d(planes * (channels + 1), _WIDTH, 5, padding=2),
            nn.GELU(),
            nn.Conv2d(_WIDTH, _WIDTH, 5, padding=4, dilation=2),
            nn.GELU(),
            nn.Conv2d(_WIDTH, planes * channels, 3, padding=1),
        )
        shares = self.layers[-1]
        assert isinstance(shares, nn.Conv2d)
        assert shares.bias is not None
        nn.init.zeros_(shares.weight)
        nn.init.constant_(shares.bias, _FIRST_SHARE)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(B, input_channels, H, W)`, see `with_neighbours`, to `(B, C, H, W)`."""
        plane = image[:, : self.channels]
        behind = image[:, self.channels :]
        values = behind.shape[1] * self.channels // (self.channels + 1)
        differences, nearness = behind[:, :values], behind[:, values:]
        ratio = (differences / local_noise(differences)).clamp(-_MOST, _MOST)
        shares = self.layers(torch.cat((ratio, nearness), 1)).to(differences.dtype)
        return plane + (shares * differences).unflatten(1, (-1, self.channels)).sum(1)


def local_noise(differences: Tensor) -> Tensor:
    """Return the local noise of maps `(B, N, H, W)`: the deviation of what is not smooth."""
    rough = differences - F.avg_pool2d(differences, 3, 1, 1, count_include_pad=False)
    side = _NOISE_PX
    power = F.avg_pool2d(rough.square(), side, 1, side // 2, count_include_pad=False)
    return power.sqrt() + _LEAST_NOISE


@torch.inference_mode()
def fused_by_rows(fusion: NeighbourFusion, image: Tensor, device: torch.device) -> Tensor:
    """Map `(B, H, W, input_channels)` to `(B, H, W, C)` where the image is, some rows at a time.

    Args:
        fusion: on the device.
        image: on any device.
        device: where products are computed.
    """
    if not image[..., fusion.channels :].any():  # no neighbours: the plane stays as it is
        return image[..., : fusion.channels].contiguous()
    result = image.new_empty(*image.shape[:3], fusion.channels)
    for top in range(0, image.shape[1], _ROWS):
        first = max(0, top - _REACH)
        part = image[:, first : top + _ROWS + _REACH].to(device).permute(0, 3, 1, 2)
        rows = fusion(part.contiguous())[:, :, top - first :][:, :, :_ROWS]
        result[:, top : top + _ROWS] = rows.permute(0, 2, 3, 1)
    return result
