"""Makes a finer plane agree with the coarse one that it was made of.

Averaged to the coarse grid, a finer plane should give the coarse one. What it lacks is added, once
(one step of iterative back-projection). That is right only for a coarse plane without blur, noise
and JPEG of its own: a network that has learned to remove these must not get them back. How far the
two differ around a pixel tells which it is: on held-out fields by 1 step of 255 where the coarse
plane is a clean average, by 3 to 5 where it is degraded. So the step is taken in full where they
differ little, and not at all where they differ by half as much again as the limit.

Source: Irani and Peleg, CVGIP: Graph. Models Image Process. 53 (1991) 231, back-projection.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from ratcli.scan import FloatArray

_NEARBY_PX = 12.0
_NONE_ABOVE = 1.5


def make_consistent(before: FloatArray, after: FloatArray, limit: float) -> FloatArray:
    """Return a finer plane that agrees better with the coarse one.

    Args:
        before: the coarse plane `(C, H, W)`.
        after: the finer plane `(C, s*H, s*W)` in the same unit.
        limit: root mean square difference up to which the coarse plane counts as clean.

    Returns:
        float32 `(C, s*H, s*W)`.
    """
    scale = after.shape[-1] // before.shape[-1]
    missing = before - _resized(after, 1 / scale)
    nearby = np.sqrt(gaussian_filter((missing**2).mean(0), _NEARBY_PX, mode="reflect"))
    share = np.clip((_NONE_ABOVE - nearby / limit) / (_NONE_ABOVE - 1), 0, 1)
    finer: FloatArray = after + _resized((share * missing).astype(np.float32), scale)
    return finer


def _resized(plane: FloatArray, factor: float) -> FloatArray:
    """Return a plane on another grid, by cubic interpolation; averaged if it becomes coarser."""
    resized = F.interpolate(
        torch.from_numpy(np.ascontiguousarray(plane))[None],
        scale_factor=factor,
        mode="bicubic",
        antialias=factor < 1,
        align_corners=False,
    )
    return np.asarray(resized[0].numpy())
